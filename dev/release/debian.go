package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	distribution = "bookworm"
	keyring      = "/usr/share/keyrings/debian-archive-keyring.gpg"
	// How long the lists of packages are not asked for again.
	listsKept = 12 * time.Hour
)

// basePackages are what the image is made of, besides the operator. The license of libgcc is in that of GCC.
var basePackages = []string{"base-files", "ca-certificates", "gcc-12-base", "libc6", "libgcc-s1"}

// debianPackage is one that apt has verified.
type debianPackage struct {
	name, version, sha256 string
	// The fields of the package, as dpkg keeps them.
	control []byte
	files   map[string]entry
}

// debianPackages downloads packages from Debian, with the newest security updates. It neither needs nor changes what is installed here.
func debianPackages(names []string, arch, mirror, cache string) ([]debianPackage, error) {
	root := filepath.Join(cache, arch)
	for _, folder := range []string{"lists/partial", "archives/partial"} {
		if err := os.MkdirAll(filepath.Join(root, folder), 0o755); err != nil {
			return nil, err
		}
	}
	sources := fmt.Sprintf("Types: deb\nURIs: %s/debian\nSuites: %s %s-updates\nComponents: main\nSigned-By: %s\n\n"+
		"Types: deb\nURIs: %s/debian-security\nSuites: %s-security\nComponents: main\nSigned-By: %s\n",
		mirror, distribution, distribution, keyring, mirror, distribution, keyring)
	for name, text := range map[string]string{"debian.sources": sources, "status": ""} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	debs, err := os.MkdirTemp(root, "debs")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(debs)
	apt := func(arguments ...string) error {
		command := exec.Command("apt-get", "--quiet=2",
			"-o", "APT::Architecture="+arch, "-o", "APT::Architectures::="+arch, "-o", "APT::Sandbox::User=root",
			"-o", "Dir::Etc::SourceList="+filepath.Join(root, "debian.sources"), "-o", "Dir::Etc::SourceParts=-",
			"-o", "Dir::State="+root, "-o", "Dir::State::Lists="+filepath.Join(root, "lists"), "-o", "Dir::State::Status="+filepath.Join(root, "status"),
			"-o", "Dir::Cache="+root, "-o", "Acquire::Languages=none", "-o", "Acquire::Retries=3")
		command.Args = append(command.Args, arguments...)
		command.Dir = debs
		if output, err := command.CombinedOutput(); err != nil {
			return fmt.Errorf("apt-get %s: %w\n%s", arguments[0], err, output)
		}
		return nil
	}
	updated := filepath.Join(root, "updated")
	if info, err := os.Stat(updated); err != nil || time.Since(info.ModTime()) > listsKept {
		if err := apt("update"); errors.Is(err, exec.ErrNotFound) {
			return nil, errors.New("this is made of Debian's packages: run it on Debian or Ubuntu, with apt-get and dpkg-deb")
		} else if err != nil {
			return nil, err
		}
		if err := os.WriteFile(updated, nil, 0o644); err != nil {
			return nil, err
		}
	}
	if err := apt(append([]string{"download"}, names...)...); err != nil {
		return nil, err
	}
	paths, err := filepath.Glob(filepath.Join(debs, "*.deb"))
	if err != nil {
		return nil, err
	}
	slices.Sort(paths)
	var packages []debianPackage
	for _, path := range paths {
		read, err := debianPackageOf(path)
		if err != nil {
			return nil, err
		}
		packages = append(packages, read)
	}
	if len(packages) != len(names) {
		return nil, fmt.Errorf("apt-get has downloaded %v for %v", paths, names)
	}
	return packages, nil
}

// packages puts the files of packages into a folder.
func packages(flags *flag.FlagSet, arguments []string) error {
	names := flags.String("names", "", "the packages, with commas between them. What they depend on is not added")
	arch := flags.String("arch", "", "their architecture, in the words of Debian")
	to := flags.String("to", "", "the folder for their files")
	cache, mirror := debianFlags(flags)
	if err := parse(flags, arguments, "names", "arch", "to"); err != nil {
		return err
	}
	work, err := filepath.Abs(*cache)
	if err != nil {
		return err
	}
	found, err := debianPackages(strings.Split(*names, ","), *arch, *mirror, work)
	if err != nil {
		return err
	}
	for _, of := range found {
		for _, entry := range of.files {
			if err := entry.write(filepath.Join(*to, entry.name)); err != nil {
				return err
			}
		}
		fmt.Println(of.name, of.version)
	}
	return nil
}

func (e entry) write(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if e.target != "" {
		return os.Symlink(e.target, path)
	}
	return os.WriteFile(path, e.data, e.mode)
}

func debianFlags(flags *flag.FlagSet) (cache, mirror *string) {
	cache = flags.String("cache", "target/packer/debian", "the folder for packages of Debian")
	mirror = flags.String("mirror", "http://deb.debian.org", "where Debian's archives are, whose signatures are verified")
	return cache, mirror
}

func debianPackageOf(path string) (debianPackage, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return debianPackage{}, err
	}
	found := debianPackage{sha256: fmt.Sprintf("%x", sha256.Sum256(data)), files: map[string]entry{}}
	if found.control, err = exec.Command("dpkg-deb", "--field", path).Output(); err != nil {
		return found, fmt.Errorf("dpkg-deb --field %s: %w", path, err)
	}
	for line := range strings.Lines(string(found.control)) {
		if name, is := strings.CutPrefix(line, "Package: "); is {
			found.name = strings.TrimSpace(name)
		}
		if version, is := strings.CutPrefix(line, "Version: "); is {
			found.version = strings.TrimSpace(version)
		}
	}
	contents, err := exec.Command("dpkg-deb", "--fsys-tarfile", path).Output()
	if err != nil {
		return found, fmt.Errorf("dpkg-deb --fsys-tarfile %s: %w", path, err)
	}
	for reader := tar.NewReader(bytes.NewReader(contents)); ; {
		header, err := reader.Next()
		if err == io.EOF {
			return found, nil
		}
		if err != nil {
			return found, fmt.Errorf("%s: %w", path, err)
		}
		read := entry{name: strings.TrimPrefix(header.Name, "./"), mode: fs.FileMode(header.Mode).Perm(), target: header.Linkname}
		if header.Typeflag != tar.TypeReg && header.Typeflag != tar.TypeSymlink {
			continue
		}
		if read.data, err = io.ReadAll(reader); err != nil {
			return found, fmt.Errorf("%s: %w", path, err)
		}
		found.files[read.name] = read
	}
}

// fileOf is a file of these packages, with the links that lead to it.
func fileOf(packages []debianPackage, name string) ([]entry, bool) {
	name = strings.TrimPrefix(name, "/")
	// A folder on the way may be a link, too.
	for at := name; at != "."; at = path.Dir(at) {
		for _, of := range packages {
			found, there := of.files[at]
			if !there {
				continue
			}
			if found.target == "" {
				return []entry{found}, at == name
			}
			target := found.target
			if !path.IsAbs(target) {
				target = path.Join(path.Dir(at), target)
			}
			rest, there := fileOf(packages, path.Join(target, strings.TrimPrefix(name, at)))
			return append([]entry{found}, rest...), there
		}
	}
	return nil, false
}
