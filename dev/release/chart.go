package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

var imageWithDigest = regexp.MustCompile(`^([a-z0-9][a-z0-9.:/_-]*[a-z0-9])@(sha256:[0-9a-f]{64})$`)

// chart packs a copy of the chart, in which what cannot be known before the release is filled in.
func chart(flags *flag.FlagSet, arguments []string) error {
	from := flags.String("chart", "charts/nuvo-operator", "the folder of the chart")
	image := flags.String("image", "", "the pushed image with its digest, such as ghcr.io/example/nuvo-operator@sha256:…")
	repository := flags.String("repository", "", "the URL of the repository")
	to := flags.String("to", "", "the folder for the package")
	helm := flags.String("helm", "", "the program Helm")
	if err := parse(flags, arguments, "image", "repository", "to", "helm"); err != nil {
		return err
	}
	parts := imageWithDigest.FindStringSubmatch(*image)
	if parts == nil {
		return fmt.Errorf("--image %s has no digest: a tag may mean another image tomorrow", *image)
	}
	copied, err := os.MkdirTemp("", "chart")
	if err != nil {
		return err
	}
	defer os.RemoveAll(copied)
	copied = filepath.Join(copied, filepath.Base(*from))
	if err := os.CopyFS(copied, os.DirFS(*from)); err != nil {
		return err
	}
	if err := edit(filepath.Join(copied, "values.yaml"), map[string]string{
		" There is no public image yet: build one with `cargo xtask image`.\n": "\n",
		"\n  repository: nuvo-operator\n":                                      "\n  repository: " + parts[1] + "\n",
		"\n  digest: \"\"\n":                                                   "\n  digest: " + parts[2] + "\n",
	}); err != nil {
		return err
	}
	url := strings.TrimSuffix(*repository, "/")
	if err := edit(filepath.Join(copied, "Chart.yaml"), map[string]string{
		"\nannotations:\n": fmt.Sprintf("\nhome: %s\nsources: [%s]\nannotations:\n  artifacthub.io/images: |\n    - name: operator\n      image: %s\n", url, url, *image),
	}); err != nil {
		return err
	}
	if err := os.MkdirAll(*to, 0o755); err != nil {
		return err
	}
	command := exec.Command(*helm, "package", copied, "--destination", *to)
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	return command.Run()
}

// edit replaces texts in a file, each of which must be there once.
func edit(path string, texts map[string]string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text := string(data)
	for old, new := range texts {
		if strings.Count(text, old) != 1 {
			return fmt.Errorf("%s does not have once: %s", path, strings.TrimSpace(old))
		}
		text = strings.Replace(text, old, new, 1)
	}
	return os.WriteFile(path, []byte(text), 0o644)
}
