package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

const repository = "https://github.com/example/nuvo-operator"

// Of all tests.
var scratch string

func TestMain(m *testing.M) {
	version = "1.2.3"
	var err error
	if scratch, err = os.MkdirTemp("", "release"); err != nil {
		panic(err)
	}
	code := m.Run()
	os.RemoveAll(scratch)
	os.Exit(code)
}

// A program for each platform that does nothing, which Go makes everywhere.
func programs(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	source := filepath.Join(folder, "main.go")
	write(t, source, "package main\n\nfunc main() {}\n")
	for _, platform := range platforms {
		build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(folder, platform.String(), platform.Bin()), source)
		build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+platform.OS, "GOARCH="+platform.Arch)
		succeed(t, build)
	}
	return folder
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func succeed(t *testing.T, command *exec.Cmd) string {
	t.Helper()
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", command.Args, err, output)
	}
	return string(output)
}

func pack(t *testing.T, arguments ...string) (string, error) {
	t.Helper()
	to := t.TempDir()
	return to, run(append([]string{"archives", "--to", to, "--license", "../../LICENSE", "--repository", repository}, arguments...))
}

func tool(t *testing.T, name string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), name)
	build := exec.Command("go", "build", "-trimpath", "-o", program, "sigs.k8s.io/krew/cmd/"+name)
	build.Dir = "../krew"
	succeed(t, build)
	return program
}

func contents(t *testing.T, archive []byte) map[string]*tar.Header {
	t.Helper()
	unpacked, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	headers := map[string]*tar.Header{}
	for reader := tar.NewReader(unpacked); ; {
		header, err := reader.Next()
		if err == io.EOF {
			return headers
		}
		if err != nil {
			t.Fatal(err)
		}
		headers[header.Name] = header
	}
}

type krewManifest struct {
	Metadata struct{ Name string }
	Spec     struct {
		Version, Homepage, ShortDescription string
		Platforms                           []struct {
			Selector         struct{ MatchLabels map[string]string }
			URI, SHA256, Bin string
		}
	}
}

func TestArchivesOfAllPlatformsAreWhatTheManifestForKrewSays(t *testing.T) {
	from := programs(t)
	to, err := pack(t, "--from", from)
	if err != nil {
		t.Fatal(err)
	}
	var manifest krewManifest
	if err := yaml.Unmarshal(read(t, filepath.Join(to, "nuvo.yaml")), &manifest); err != nil {
		t.Fatal(err)
	}
	if manifest.Spec.Version != "v1.2.3" || manifest.Spec.Homepage != repository || len(manifest.Spec.Platforms) != len(platforms) {
		t.Fatalf("%+v", manifest)
	}
	for _, described := range manifest.Spec.Platforms {
		labels := described.Selector.MatchLabels
		platform := platform{labels["os"], labels["arch"]}
		if !slices.Contains(platforms, platform) || described.Bin != platform.Bin() {
			t.Errorf("%+v", described)
		}
		file := fmt.Sprintf("kubectl-nuvo_1.2.3_%s_%s.tar.gz", labels["os"], labels["arch"])
		if described.URI != repository+"/releases/download/v1.2.3/"+file {
			t.Errorf("%s is not the address of %s", described.URI, file)
		}
		archive := read(t, filepath.Join(to, file))
		if described.SHA256 != fmt.Sprintf("%x", sha256.Sum256(archive)) {
			t.Errorf("%s has another digest", file)
		}
		headers := contents(t, archive)
		if len(headers) != 2 || headers["LICENSE"] == nil || headers[platform.Bin()] == nil || headers[platform.Bin()].Mode != 0o755 {
			t.Errorf("%s has %v", file, headers)
		}
	}
	succeed(t, exec.Command(tool(t, "validate-krew-manifest"), "-manifest", filepath.Join(to, "nuvo.yaml"), "-skip-install"))

	// As `kubectl krew install nuvo` does it, with the archive of this machine.
	root := t.TempDir()
	archive := strings.TrimSpace(succeed(t, exec.Command("go", "env", "GOOS", "GOARCH")))
	archive = filepath.Join(to, "kubectl-nuvo_1.2.3_"+strings.ReplaceAll(archive, "\n", "_")+".tar.gz")
	install := exec.Command(tool(t, "krew"), "install", "--manifest", filepath.Join(to, "nuvo.yaml"), "--archive", archive)
	install.Env = append(os.Environ(), "KREW_ROOT="+root)
	succeed(t, install)
	succeed(t, exec.Command(filepath.Join(root, "bin", "kubectl-nuvo")))
}

func TestArchivesOfTheSameProgramsAreTheSame(t *testing.T) {
	from := programs(t)
	path := filepath.Join(from, platforms[0].String(), plugin)
	data := read(t, path)
	var archives [][]byte
	for _, mode := range []os.FileMode{0o600, 0o777} {
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, mode); err != nil {
			t.Fatal(err)
		}
		to, err := pack(t, "--from", from)
		if err != nil {
			t.Fatal(err)
		}
		archives = append(archives, read(t, filepath.Join(to, "kubectl-nuvo_1.2.3_linux_amd64.tar.gz")))
	}
	if !bytes.Equal(archives[0], archives[1]) {
		t.Error("they differ")
	}
}

func TestProgramOfAnotherPlatformIsRefused(t *testing.T) {
	from := programs(t)
	for _, wrong := range [][2]string{{"linux_amd64/kubectl-nuvo", "linux_arm64/kubectl-nuvo"}, {"darwin_arm64/kubectl-nuvo", "linux_arm64/kubectl-nuvo"}} {
		right := read(t, filepath.Join(from, wrong[1]))
		if err := os.WriteFile(filepath.Join(from, wrong[1]), read(t, filepath.Join(from, wrong[0])), 0o755); err != nil {
			t.Fatal(err)
		}
		if _, err := pack(t, "--from", from); err == nil || !strings.Contains(err.Error(), "is a program for") {
			t.Errorf("%v: %v", wrong, err)
		}
		if err := os.WriteFile(filepath.Join(from, wrong[1]), right, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(from, "linux_arm64/kubectl-nuvo"), "#!/bin/sh\n")
	if _, err := pack(t, "--from", from); err == nil || !strings.Contains(err.Error(), "is no program") {
		t.Error(err)
	}
	if err := os.Remove(filepath.Join(from, "linux_arm64/kubectl-nuvo")); err != nil {
		t.Fatal(err)
	}
	if _, err := pack(t, "--from", from); err == nil {
		t.Error("a platform is missing in silence")
	}
	if _, err := pack(t, "--from", from, "--partial"); err != nil {
		t.Error(err)
	}
}
