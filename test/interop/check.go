// Checks a log that lies in a folder, as somebody who has Go's own implementation of the formats (golang.org/x/mod/sumdb) and
// nothing of ours: signatures, every entry against the tiles, proofs of single entries, and that it goes on from what was kept.
// Prints what it checked, or says on one line what is wrong.
//
//	key             the verifier key
//	checkpoint      the newest signed note
//	earlier         one that was kept, with the proof between both in consistency (a JSON array of base64)
//	proofs/INDEX    tlog-proof files
//	tile/…          tiles and bundles of entries, by their paths in c2sp.org/tlog-tiles
package main

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const tileHeight = 8

func main() {
	checked, err := check(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(checked)
}

func check(dir string) (string, error) {
	key, err := read(dir, "key")
	if err != nil {
		return "", err
	}
	verifier, err := note.NewVerifier(strings.TrimSpace(string(key)))
	if err != nil {
		return "", fmt.Errorf("key: %w", err)
	}
	checkpoint, err := read(dir, "checkpoint")
	if err != nil {
		return "", err
	}
	tree, err := openCheckpoint(checkpoint, verifier)
	if err != nil {
		return "", fmt.Errorf("checkpoint: %w", err)
	}
	entries, err := checkTiles(dir, tree)
	if err != nil {
		return "", err
	}
	proofs, err := checkProofs(dir, verifier, entries)
	if err != nil {
		return "", err
	}
	earlier, err := checkConsistency(dir, verifier, tree)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d entries, %d proofs, goes on from %d", len(entries), proofs, earlier), nil
}

// A checkpoint is three lines: origin, size, root.
func openCheckpoint(text []byte, verifier note.Verifier) (tree tlog.Tree, err error) {
	opened, err := note.Open(text, note.VerifierList(verifier))
	if err != nil {
		return tree, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[0] != verifier.Name() {
		return tree, errors.New("is not one of this log")
	}
	if tree.N, err = strconv.ParseInt(lines[1], 10, 64); err != nil {
		return tree, err
	}
	tree.Hash, err = parseHash(lines[2])
	return tree, err
}

// Tiles as the service gave them, for tlog, which believes none that does not make the signed root.
type tiles struct{ dir string }

func (tiles) Height() int                                { return tileHeight }
func (tiles) SaveTiles(tiles []tlog.Tile, data [][]byte) {}
func (t tiles) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	data := make([][]byte, len(tiles))
	for i, tile := range tiles {
		// Go's paths name the height, too.
		path := strings.Replace(tile.Path(), fmt.Sprintf("tile/%d/", tileHeight), "tile/", 1)
		bytes, err := read(t.dir, path)
		if err != nil {
			return nil, err
		}
		data[i] = bytes
	}
	return data, nil
}

// The entries make the signed tree, and each tile is what Go makes of them.
func checkTiles(dir string, tree tlog.Tree) ([][]byte, error) {
	entries, err := readEntries(dir, tree.N)
	if err != nil {
		return nil, err
	}
	var stored hashes
	indexes := make([]int64, len(entries))
	for i, entry := range entries {
		more, err := tlog.StoredHashes(int64(i), entry, stored)
		if err != nil {
			return nil, err
		}
		stored = append(stored, more...)
		indexes[i] = tlog.StoredHashIndex(0, int64(i))
	}
	if root, err := tlog.TreeHash(tree.N, stored); err != nil || root != tree.Hash {
		return nil, errors.New("entries: do not make the signed tree")
	}
	got, err := tlog.TileHashReader(tree, tiles{dir}).ReadHashes(indexes)
	if err != nil {
		return nil, fmt.Errorf("tiles: %w", err)
	}
	// Some versions of tlog do not hold whole tiles against the root.
	for i, hash := range got {
		if hash != stored[indexes[i]] {
			return nil, fmt.Errorf("tiles: have another entry %d", i)
		}
	}
	return entries, nil
}

// Hashes in the order of tlog.StoredHashIndex.
type hashes []tlog.Hash

func (stored hashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	asked := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		asked[i] = stored[index]
	}
	return asked, nil
}

// A bundle is of entries, each behind its length in two bytes.
func readEntries(dir string, size int64) ([][]byte, error) {
	var entries [][]byte
	for at := int64(0); at < size; at += 1 << tileHeight {
		path := fmt.Sprintf("tile/entries/%03d", at>>tileHeight)
		if left := size - at; left < 1<<tileHeight {
			path += fmt.Sprintf(".p/%d", left)
		}
		bundle, err := read(dir, path)
		if err != nil {
			return nil, err
		}
		for len(bundle) > 0 {
			if len(bundle) < 2 || len(bundle) < 2+int(binary.BigEndian.Uint16(bundle)) {
				return nil, fmt.Errorf("%s: is cut off", path)
			}
			length := int(binary.BigEndian.Uint16(bundle))
			entries = append(entries, bundle[2:2+length])
			bundle = bundle[2+length:]
		}
	}
	if int64(len(entries)) != size {
		return nil, fmt.Errorf("entries: %d, not %d", len(entries), size)
	}
	return entries, nil
}

// Each file of proofs/ shows its entry in the tree of its own checkpoint.
func checkProofs(dir string, verifier note.Verifier, entries [][]byte) (int, error) {
	files, err := filepath.Glob(filepath.Join(dir, "proofs", "*"))
	if err != nil {
		return 0, err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err == nil {
			err = checkProof(string(text), filepath.Base(file), verifier, entries)
		}
		if err != nil {
			return 0, fmt.Errorf("proof of %s: %w", filepath.Base(file), err)
		}
	}
	return len(files), nil
}

func checkProof(text, named string, verifier note.Verifier, entries [][]byte) error {
	head, checkpoint, found := strings.Cut(text, "\n\n")
	lines := strings.Split(head, "\n")
	if !found || len(lines) < 2 || lines[0] != "c2sp.org/tlog-proof@v1" || lines[1] != "index "+named {
		return errors.New("is not one")
	}
	index, err := strconv.ParseInt(named, 10, 64)
	if err != nil {
		return err
	}
	hashes, err := parseHashes(lines[2:])
	if err != nil {
		return err
	}
	tree, err := openCheckpoint([]byte(checkpoint), verifier)
	if err != nil {
		return err
	}
	return tlog.CheckRecord(hashes, tree.N, tree.Hash, index, tlog.RecordHash(entries[index]))
}

func checkConsistency(dir string, verifier note.Verifier, tree tlog.Tree) (int64, error) {
	kept, err := read(dir, "earlier")
	if err != nil {
		return 0, err
	}
	earlier, err := openCheckpoint(kept, verifier)
	if err != nil {
		return 0, fmt.Errorf("earlier: %w", err)
	}
	text, err := read(dir, "consistency")
	if err != nil {
		return 0, err
	}
	var encoded []string
	if err := json.Unmarshal(text, &encoded); err != nil {
		return 0, fmt.Errorf("consistency: %w", err)
	}
	hashes, err := parseHashes(encoded)
	if err == nil {
		err = tlog.CheckTree(hashes, tree.N, tree.Hash, earlier.N, earlier.Hash)
	}
	if err != nil {
		return 0, fmt.Errorf("consistency: %w", err)
	}
	return earlier.N, nil
}

func read(dir, path string) ([]byte, error) {
	return os.ReadFile(filepath.Join(dir, filepath.FromSlash(path)))
}

func parseHash(text string) (hash tlog.Hash, err error) {
	bytes, err := base64.StdEncoding.Strict().DecodeString(text)
	if err == nil && len(bytes) != tlog.HashSize {
		err = errors.New("is no hash")
	}
	copy(hash[:], bytes)
	return hash, err
}

func parseHashes(lines []string) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(lines))
	for i, line := range lines {
		hash, err := parseHash(line)
		if err != nil {
			return nil, err
		}
		hashes[i] = hash
	}
	return hashes, nil
}
