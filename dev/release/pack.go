package main

import (
	"archive/tar"
	"bytes"
	"cmp"
	"io/fs"
	"path"
	"slices"
	"time"

	// Not that of Go, whose versions pack differently.
	"github.com/klauspost/compress/gzip"
)

// entry is a file, a folder, or a link if it has a target, in a tar that is the same wherever it is made: sorted, owned by root, of one time.
type entry struct {
	name   string
	mode   fs.FileMode
	data   []byte
	target string
}

// packed is the tar of these entries, with the folders that they are in.
func packed(entries []entry) ([]byte, error) {
	folders := map[string]fs.FileMode{}
	for _, entry := range entries {
		for folder := path.Dir(path.Clean(entry.name)); folder != "."; folder = path.Dir(folder) {
			if _, there := folders[folder]; !there {
				folders[folder] = 0o755
			}
		}
	}
	all := slices.Clone(entries)
	for folder, mode := range folders {
		all = append(all, entry{name: folder + "/", mode: mode | fs.ModeDir})
	}
	slices.SortFunc(all, func(a, b entry) int { return cmp.Compare(a.name, b.name) })
	var buffer bytes.Buffer
	writer := tar.NewWriter(&buffer)
	for _, entry := range all {
		header := tar.Header{
			Typeflag: tar.TypeReg,
			Name:     entry.name,
			Linkname: entry.target,
			Mode:     int64(entry.mode.Perm()),
			Size:     int64(len(entry.data)),
			ModTime:  time.Unix(epoch, 0),
			Format:   tar.FormatUSTAR,
		}
		switch {
		case entry.mode.IsDir():
			header.Typeflag = tar.TypeDir
		case entry.target != "":
			header.Typeflag = tar.TypeSymlink
		}
		if err := writer.WriteHeader(&header); err != nil {
			return nil, err
		}
		if _, err := writer.Write(entry.data); err != nil {
			return nil, err
		}
	}
	if err := writer.Close(); err != nil {
		return nil, err
	}
	return buffer.Bytes(), nil
}

// compressed has neither a name nor a time in its header.
func compressed(data []byte) ([]byte, error) {
	var buffer bytes.Buffer
	writer := gzip.NewWriter(&buffer)
	if _, err := writer.Write(data); err != nil {
		return nil, err
	}
	if err := writer.Close(); err != nil {
		return nil, err
	}
	return buffer.Bytes(), nil
}
