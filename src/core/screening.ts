/** Who may screen where a jurisdiction asks for a certificate. Pure. */

/** A certificate that a caseworker holds; days as `YYYY-MM-DD`. */
export interface Certificate {
  course: string;
  completed_on: string;
  /** Null: it does not expire. */
  expires_on: string | null;
}

/**
 * Whether each of the courses that are asked for was passed, and the certificate of it stands on this day.
 * @param today of the jurisdiction, `YYYY-MM-DD`
 */
export const isCertified = (held: readonly Certificate[], courses: readonly string[], today: string): boolean =>
  courses.every(wanted =>
    held.some(
      ({ course, completed_on, expires_on }) =>
        course === wanted && completed_on <= today && (expires_on === null || expires_on >= today),
    ),
  );
