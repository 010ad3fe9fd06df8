package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const operator = "usr/local/bin/nuvo-operator"

// programOf is the operator for an architecture.
type programOf struct{ arch, path string }

// programsOf are given as ARCH=FILE, each with a flag of its own.
type programsOf []programOf

func (p *programsOf) String() string { return fmt.Sprint(*p) }

func (p *programsOf) Set(value string) error {
	arch, path, _ := strings.Cut(value, "=")
	if triplets[arch] == "" || path == "" {
		return errors.New("write ARCH=FILE, where ARCH is amd64 or arm64")
	}
	*p = append(*p, programOf{arch, path})
	return nil
}

// image packs the operator with its base, for one or several architectures.
func image(flags *flag.FlagSet, arguments []string) error {
	var programs programsOf
	flags.Var(&programs, "operator", "the program for an architecture, such as arm64=FILE; repeat it for an image of several. Without it, the operator is built for this machine")
	to := flags.String("to", "target/packed", "the folder for the image (an archive of an OCI layout), its SBOMs and its provenance")
	push := flags.String("push", "", "push the image, too: its name with registry and tag. The credentials are those of docker login")
	cache, mirror := debianFlags(flags)
	license := flags.String("license", "LICENSE", "the text of the license")
	lock := flags.String("lock", "Cargo.lock", "the versions that the operator was built with")
	source := flags.String("source", "", "the URL of the repository, for the labels and the provenance")
	revision := flags.String("revision", "", "the commit, for the labels and the provenance")
	builder := flags.String("builder", "https://nuvo.dev/local-build", "who has built it, as a URI, for the provenance")
	if err := parse(flags, arguments); err != nil {
		return err
	}
	if len(programs) == 0 {
		return errors.New("--operator is missing")
	}
	slices.SortFunc(programs, func(a, b programOf) int { return strings.Compare(a.arch, b.arch) })
	text, err := os.ReadFile(*license)
	if err != nil {
		return err
	}
	work, err := filepath.Abs(*cache)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(*to, 0o755); err != nil {
		return err
	}
	labels := map[string]string{
		"org.opencontainers.image.title":       "nuvo-operator",
		"org.opencontainers.image.description": "Runs nuvo data pipelines as Kubernetes objects",
		"org.opencontainers.image.licenses":    "Apache-2.0",
		"org.opencontainers.image.version":     version,
	}
	for name, value := range map[string]string{"source": *source, "revision": *revision} {
		if value != "" {
			labels["org.opencontainers.image."+name] = value
		}
	}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	var parts []packedImage
	for _, program := range programs {
		part, err := imageOf(program, packedFrom{work, *mirror, text, labels})
		if err != nil {
			return err
		}
		if part.crates, err = linkedCrates(*lock, program.arch); err != nil {
			return err
		}
		parts = append(parts, part)
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add:        part.image,
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: program.arch}},
		})
	}
	index = mutate.Annotations(index, labels).(v1.ImageIndex)
	digest, err := index.Digest()
	if err != nil {
		return err
	}
	if err := writeLayout(index, "docker.io/library/nuvo-operator:"+version, filepath.Join(*to, "image.tar")); err != nil {
		return err
	}
	for _, part := range parts {
		if err := writeSBOM(part, filepath.Join(*to, fmt.Sprintf("nuvo-operator_%s_linux_%s.spdx.json", version, part.arch))); err != nil {
			return err
		}
	}
	described := build{digest: digest, parts: parts, source: *source, revision: *revision, builder: *builder}
	if err := writeProvenance(described, filepath.Join(*to, "nuvo-operator_"+version+".provenance.json")); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(*to, "digest"), []byte(digest.String()+"\n"), 0o644); err != nil {
		return err
	}
	fmt.Println(digest)
	if *push == "" {
		return nil
	}
	reference, err := name.ParseReference(*push)
	if err != nil {
		return err
	}
	return remote.WriteIndex(reference, index, remote.WithAuthFromKeychain(authn.DefaultKeychain))
}

// packedImage is the image for one architecture, with what it was made of.
type packedImage struct {
	image    v1.Image
	arch     string
	operator []byte
	packages []debianPackage
	crates   []crate
}

type packedFrom struct {
	cache, mirror string
	license       []byte
	labels        map[string]string
}

func imageOf(program programOf, from packedFrom) (packedImage, error) {
	part := packedImage{arch: program.arch}
	if err := runsOn(platform{"linux", program.arch}, program.path); err != nil {
		return part, err
	}
	var err error
	if part.operator, err = os.ReadFile(program.path); err != nil {
		return part, err
	}
	if part.packages, err = debianPackages(basePackages, program.arch, from.mirror, from.cache); err != nil {
		return part, err
	}
	below, err := base(part.packages, program.arch, part.operator)
	if err != nil {
		return part, err
	}
	above := []entry{
		{name: operator, mode: 0o755, data: part.operator},
		{name: "usr/share/doc/nuvo-operator/copyright", mode: 0o644, data: from.license},
	}
	time := v1.Time{Time: time.Unix(epoch, 0).UTC()}
	made := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	for _, of := range []struct {
		what    string
		entries []entry
	}{{"packages of Debian " + distribution, below}, {"nuvo-operator " + version, above}} {
		layer, err := layerOf(of.entries)
		if err != nil {
			return part, err
		}
		if made, err = mutate.Append(made, mutate.Addendum{Layer: layer, History: v1.History{Created: time, CreatedBy: of.what}}); err != nil {
			return part, err
		}
	}
	file, err := made.ConfigFile()
	if err != nil {
		return part, err
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Created = "linux", program.arch, time
	file.Config = v1.Config{
		User:       fmt.Sprintf("%d:%d", user, user),
		Entrypoint: []string{"/" + operator},
		Cmd:        []string{"run"},
		// glibc otherwise keeps memory for each thread that the others cannot use: a tenth of what 10,000 active runs take.
		Env:          []string{"MALLOC_ARENA_MAX=1"},
		ExposedPorts: map[string]struct{}{"8080/tcp": {}, "8081/tcp": {}},
		Labels:       from.labels,
	}
	if made, err = mutate.ConfigFile(made, file); err != nil {
		return part, err
	}
	part.image = mutate.Annotations(made, from.labels).(v1.Image)
	return part, nil
}

func layerOf(entries []entry) (v1.Layer, error) {
	data, err := packed(entries)
	if err != nil {
		return nil, err
	}
	if data, err = compressed(data); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }, tarball.WithMediaType(types.OCILayer))
}

// writeLayout writes an archive that containerd, podman, skopeo and crane read. The reference ends with a tag.
func writeLayout(index v1.ImageIndex, reference, to string) error {
	folder, err := os.MkdirTemp("", "image")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	written, err := layout.Write(folder, empty.Index)
	if err != nil {
		return err
	}
	tag := reference[strings.LastIndex(reference, ":")+1:]
	names := map[string]string{"org.opencontainers.image.ref.name": tag, "io.containerd.image.name": reference}
	if err := written.AppendIndex(index, layout.WithAnnotations(names)); err != nil {
		return err
	}
	var entries []entry
	err = filepath.WalkDir(folder, func(path string, at os.DirEntry, err error) error {
		if err != nil || at.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(folder, path)
		entries = append(entries, entry{name: filepath.ToSlash(relative), mode: 0o644, data: data})
		return err
	})
	if err != nil {
		return err
	}
	data, err := packed(entries)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o644)
}
