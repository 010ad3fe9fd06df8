package main

import (
	"crypto/sha256"
	"debug/elf"
	"debug/macho"
	"debug/pe"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"text/template"
)

const plugin = "kubectl-nuvo"

// platform is one that the plugin is released for, in the words of Go and Krew.
type platform struct {
	OS, Arch string
}

var platforms = []platform{{"linux", "amd64"}, {"linux", "arm64"}, {"darwin", "amd64"}, {"darwin", "arm64"}, {"windows", "amd64"}}

func (p platform) String() string { return p.OS + "_" + p.Arch }

// Bin is the name of the program.
func (p platform) Bin() string {
	if p.OS == "windows" {
		return plugin + ".exe"
	}
	return plugin
}

// archive is the name of the file that has it.
func (p platform) archive() string {
	return fmt.Sprintf("%s_%s_%s.tar.gz", plugin, version, p)
}

// archives packs what is there of FROM/OS_ARCH/kubectl-nuvo.
func archives(flags *flag.FlagSet, arguments []string) error {
	from := flags.String("from", "", "the folder with the programs: OS_ARCH/kubectl-nuvo, such as linux_amd64/kubectl-nuvo")
	to := flags.String("to", "", "the folder for the archives and the manifest, nuvo.yaml")
	license := flags.String("license", "LICENSE", "the text of the license")
	repository := flags.String("repository", "", "the URL of the repository whose releases will have the archives")
	partial := flags.Bool("partial", false, "leave out platforms without a program, also in the manifest")
	if err := parse(flags, arguments, "from", "to", "repository"); err != nil {
		return err
	}
	text, err := os.ReadFile(*license)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(*to, 0o755); err != nil {
		return err
	}
	manifest := manifest{Version: version, Repository: strings.TrimSuffix(*repository, "/")}
	for _, platform := range platforms {
		data, err := os.ReadFile(filepath.Join(*from, platform.String(), platform.Bin()))
		if *partial && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := runsOn(platform, filepath.Join(*from, platform.String(), platform.Bin())); err != nil {
			return err
		}
		archive, err := packed([]entry{{name: platform.Bin(), mode: 0o755, data: data}, {name: "LICENSE", mode: 0o644, data: text}})
		if err != nil {
			return err
		}
		if archive, err = compressed(archive); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(*to, platform.archive()), archive, 0o644); err != nil {
			return err
		}
		fmt.Println(platform.archive())
		manifest.Archives = append(manifest.Archives, described{platform, platform.archive(), fmt.Sprintf("%x", sha256.Sum256(archive))})
	}
	if len(manifest.Archives) == 0 {
		return fmt.Errorf("there is no program in %s", *from)
	}
	var written strings.Builder
	if err := krew.Execute(&written, manifest); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(*to, "nuvo.yaml"), []byte(written.String()), 0o644)
}

// runsOn refuses a program that was built for something else.
func runsOn(wanted platform, path string) error {
	found, err := platformOf(path)
	if err == nil && found != wanted {
		err = fmt.Errorf("%s is a program for %s", path, found)
	}
	return err
}

func platformOf(path string) (platform, error) {
	if file, err := elf.Open(path); err == nil {
		defer file.Close()
		return known("linux", file.Machine, map[elf.Machine]string{elf.EM_X86_64: "amd64", elf.EM_AARCH64: "arm64"}), nil
	}
	if file, err := macho.Open(path); err == nil {
		defer file.Close()
		return known("darwin", file.Cpu, map[macho.Cpu]string{macho.CpuAmd64: "amd64", macho.CpuArm64: "arm64"}), nil
	}
	if file, err := pe.Open(path); err == nil {
		defer file.Close()
		return known("windows", file.Machine, map[uint16]string{pe.IMAGE_FILE_MACHINE_AMD64: "amd64"}), nil
	}
	return platform{}, fmt.Errorf("%s is no program for linux, darwin or windows", path)
}

func known[M comparable](os string, machine M, architectures map[M]string) platform {
	if arch, is := architectures[machine]; is {
		return platform{os, arch}
	}
	return platform{os, fmt.Sprint(machine)}
}

type manifest struct {
	Version, Repository string
	Archives            []described
}

type described struct {
	platform
	File, SHA256 string
}

var krew = template.Must(template.New("nuvo.yaml").Parse(`apiVersion: krew.googlecontainertools.github.com/v1alpha2
kind: Plugin
metadata:
  name: nuvo
spec:
  version: v{{ .Version }}
  homepage: {{ .Repository }}
  shortDescription: Start and follow runs of nuvo data pipelines
  description: |
    Starts nuvo data pipelines as PipelineRun objects, waits for them, shows what happened
    and what to do next, and answers what only a person can decide.
    It only reads and writes Kubernetes objects: the nuvo operator must be installed in the
    cluster.
  platforms:
{{- range .Archives }}
    - selector:
        matchLabels:
          os: {{ .OS }}
          arch: {{ .Arch }}
      uri: {{ $.Repository }}/releases/download/v{{ $.Version }}/{{ .File }}
      sha256: {{ .SHA256 }}
      bin: {{ .Bin }}
      files:
        - from: {{ .Bin }}
          to: .
        - from: LICENSE
          to: .
{{- end }}
`))
