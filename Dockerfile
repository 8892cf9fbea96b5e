# Node runs the TypeScript sources as they are: there is no build step.
FROM node:26-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev --ignore-scripts

FROM node:26-slim
WORKDIR /app
# Inside a container, loopback would be out of everybody's reach. What is published where is for compose.yaml to say.
ENV NODE_ENV=production HOST=0.0.0.0 PORT=3000 METRICS_HOST=0.0.0.0
COPY --from=dependencies /app/node_modules ./node_modules
COPY package.json LICENSE ./
COPY migrations ./migrations
COPY src ./src
COPY scripts/witness.ts ./scripts/
# Where the sequencer's ledger is mounted: a new volume gets the owner that the folder has here.
RUN install -d -o node -g node /var/lib/aman
USER node
EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
  CMD ["node", "-e", "fetch('http://127.0.0.1:' + process.env.PORT + '/readyz').then(it => process.exit(it.ok ? 0 : 1), () => process.exit(1))"]
# Not through npm, which would stand between the process and its signals; the limits are those of `npm start`, in MiB.
CMD ["node", "--max-semi-space-size=8", "--max-old-space-size=256", "src/main.ts", "serve"]
