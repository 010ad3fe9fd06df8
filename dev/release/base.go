package main

import (
	"bytes"
	"debug/elf"
	"fmt"
	"path"
	"slices"
	"strings"
)

// The user of the image, as a number in its configuration, because Kubernetes cannot verify that a name is not root.
const user = 65532

// triplets are the folders of Debian's libraries.
var triplets = map[string]string{"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}

// base is what the operator needs around it: the libraries that it is linked with, and the certificates of public authorities. There is
// no shell.
func base(packages []debianPackage, arch string, operator []byte) ([]entry, error) {
	entries, err := libraries(packages, arch, operator)
	if err != nil {
		return nil, err
	}
	certificates, err := authorities(packages)
	if err != nil {
		return nil, err
	}
	entries = append(entries,
		certificates,
		text("etc/passwd", fmt.Sprintf("root:x:0:0:root:/:/sbin/nologin\nnonroot:x:%d:%d:nonroot:/:/sbin/nologin\n", user, user)),
		text("etc/group", fmt.Sprintf("root:x:0:\nnonroot:x:%d:\n", user)),
		text("etc/nsswitch.conf", "hosts: files dns\n"),
	)
	release, there := fileOf(packages, "etc/os-release")
	if !there {
		return nil, fmt.Errorf("base-files has no etc/os-release")
	}
	entries = append(entries, release...)
	for _, of := range packages {
		// There scanners find what an image has, if it has no dpkg.
		entries = append(entries, entry{name: "var/lib/dpkg/status.d/" + of.name, mode: 0o644, data: of.control})
		// With links where two packages are of one source.
		copyright, there := fileOf(packages, "usr/share/doc/"+of.name+"/copyright")
		if !there {
			return nil, fmt.Errorf("%s has no copyright", of.name)
		}
		entries = append(entries, copyright...)
	}
	// A file that several links lead to is there once.
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	return slices.CompactFunc(entries, func(a, b entry) bool { return a.name == b.name }), nil
}

func text(name, data string) entry { return entry{name: name, mode: 0o644, data: []byte(data)} }

// authorities is the bundle that Debian would make of its certificates. Not that of this machine, which may have private ones.
func authorities(packages []debianPackage) (entry, error) {
	bundle := text("etc/ssl/certs/ca-certificates.crt", "")
	for _, of := range packages {
		var names []string
		for name := range of.files {
			if strings.HasPrefix(name, "usr/share/ca-certificates/mozilla/") && strings.HasSuffix(name, ".crt") {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		for _, name := range names {
			bundle.data = append(bundle.data, of.files[name].data...)
		}
	}
	if len(bundle.data) == 0 {
		return bundle, fmt.Errorf("ca-certificates has none")
	}
	return bundle, nil
}

// libraries is what the operator is linked with, what that is linked with, and so on; and what loads them.
func libraries(packages []debianPackage, arch string, operator []byte) ([]entry, error) {
	program, err := elf.NewFile(bytes.NewReader(operator))
	if err != nil {
		return nil, fmt.Errorf("the operator: %w", err)
	}
	var entries []entry
	loader, err := interpreter(program)
	if err != nil {
		return nil, err
	}
	found, there := fileOf(packages, loader)
	if !there {
		return nil, fmt.Errorf("no package has %s, which loads the operator", loader)
	}
	entries = append(entries, found...)
	provided := map[string]map[string]bool{}
	type need struct {
		by   string
		file *elf.File
	}
	needs := []need{{"the operator", program}}
	for len(needs) > 0 {
		next := needs[0]
		needs = needs[1:]
		names, err := next.file.ImportedLibraries()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", next.by, err)
		}
		for _, name := range names {
			if provided[name] != nil {
				continue
			}
			found, there := fileOf(packages, path.Join("lib", triplets[arch], name))
			if !there {
				return nil, fmt.Errorf("no package has %s, which %s needs", name, next.by)
			}
			library, err := elf.NewFile(bytes.NewReader(found[len(found)-1].data))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			if provided[name], err = versions(library); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			entries = append(entries, found...)
			needs = append(needs, need{name, library})
		}
		wanted, err := next.file.DynamicVersionNeeds()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", next.by, err)
		}
		for _, of := range wanted {
			for _, version := range of.Needs {
				// An operator that was linked on a newer system would not start.
				if !provided[of.Name][version.Dep] {
					return nil, fmt.Errorf("%s needs %s of %s, which Debian %s does not have: build it where glibc is not newer", next.by, version.Dep, of.Name, distribution)
				}
			}
		}
	}
	return entries, nil
}

func interpreter(program *elf.File) (string, error) {
	for _, part := range program.Progs {
		if part.Type == elf.PT_INTERP {
			name := make([]byte, part.Filesz)
			if _, err := part.ReadAt(name, 0); err != nil {
				return "", err
			}
			return string(bytes.TrimRight(name, "\x00")), nil
		}
	}
	return "", fmt.Errorf("the operator is not linked with a C library, and would find no names")
}

func versions(library *elf.File) (map[string]bool, error) {
	all := map[string]bool{}
	found, err := library.DynamicVersions()
	for _, version := range found {
		all[version.Name] = true
	}
	return all, err
}
