package main

import (
	"debug/elf"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// program packs a program with nothing but what it is linked with, and a folder for temporary files.
func program(flags *flag.FlagSet, arguments []string) error {
	from := flags.String("program", "", "the program")
	at := flags.String("at", "", "its path in the image")
	reference := flags.String("name", "", "what pods call the image, with a tag")
	to := flags.String("to", "", "the archive to write")
	cache, mirror := debianFlags(flags)
	if err := parse(flags, arguments, "program", "at", "name", "to"); err != nil {
		return err
	}
	data, err := os.ReadFile(*from)
	if err != nil {
		return err
	}
	platform, err := platformOf(*from)
	if err != nil {
		return err
	}
	if platform.OS != "linux" {
		return fmt.Errorf("%s is a program for %s", *from, platform)
	}
	entries := []entry{
		{name: strings.TrimPrefix(*at, "/"), mode: 0o755, data: data},
		// Most programs take for granted that it is there.
		{name: "tmp/", mode: 0o777 | fs.ModeDir},
	}
	linked, err := isLinked(*from)
	if err != nil {
		return err
	}
	if linked {
		work, err := filepath.Abs(*cache)
		if err != nil {
			return err
		}
		packages, err := debianPackages(basePackages, platform.Arch, *mirror, work)
		if err != nil {
			return err
		}
		below, err := base(packages, platform.Arch, data)
		if err != nil {
			return err
		}
		entries = append(entries, below...)
	}
	layer, err := layerOf(entries)
	if err != nil {
		return err
	}
	made := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	if made, err = mutate.AppendLayers(made, layer); err != nil {
		return err
	}
	file, err := made.ConfigFile()
	if err != nil {
		return err
	}
	file = file.DeepCopy()
	file.OS, file.Architecture = platform.OS, platform.Arch
	file.Config = v1.Config{User: fmt.Sprintf("%d:%d", user, user), Entrypoint: []string{*at}}
	if made, err = mutate.ConfigFile(made, file); err != nil {
		return err
	}
	index := mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.OCIImageIndex), mutate.IndexAddendum{
		Add:        made,
		Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: platform.OS, Architecture: platform.Arch}},
	})
	return writeLayout(index, *reference, *to)
}

// isLinked says whether a program needs libraries. One of Go need not.
func isLinked(path string) (bool, error) {
	file, err := elf.Open(path)
	if err != nil {
		return false, err
	}
	defer file.Close()
	names, err := file.ImportedLibraries()
	return len(names) > 0, err
}
