package main

import (
	"archive/tar"
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"sigs.k8s.io/yaml"
)

const cache = "../../target/packer/debian"

// The operator that cargo has built. Its version counts, too.
func operatorOf(t *testing.T) string {
	t.Helper()
	path := os.Getenv("NUVO_OPERATOR")
	if path == "" {
		t.Skip("NUVO_OPERATOR does not name the operator: cargo test --test release does")
	}
	previous := version
	t.Cleanup(func() { version = previous })
	version = strings.Fields(succeed(t, exec.Command(path, "--version")))[1]
	return path
}

// The image of the operator, which is packed once.
var packedOnce string

func thePackedImage(t *testing.T) string {
	t.Helper()
	program := operatorOf(t)
	if packedOnce == "" {
		packedOnce = packImage(t, "--operator", "amd64="+program, "--source", repository, "--revision", "0123abc")
	}
	return packedOnce
}

func packImage(t *testing.T, arguments ...string) string {
	t.Helper()
	to, err := os.MkdirTemp(scratch, "image")
	if err != nil {
		t.Fatal(err)
	}
	fixed := []string{"image", "--to", to, "--cache", cache, "--license", "../../LICENSE", "--lock", "../../Cargo.lock"}
	if err := run(append(fixed, arguments...)); err != nil {
		t.Fatal(err)
	}
	return to
}

func files(t *testing.T, folder string) map[string]string {
	t.Helper()
	found := map[string]string{}
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		found[entry.Name()] = string(read(t, filepath.Join(folder, entry.Name())))
	}
	return found
}

// The archive of a layout, unpacked, as what it describes.
func indexIn(t *testing.T, folder string) v1.ImageIndex {
	t.Helper()
	to := t.TempDir()
	succeed(t, exec.Command("tar", "--extract", "--file", filepath.Join(folder, "image.tar"), "--directory", to))
	outer, err := layout.ImageIndexFromPath(to)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := outer.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	index, err := outer.ImageIndex(manifest.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	return index
}

func imagesIn(t *testing.T, folder string) map[string]v1.Image {
	t.Helper()
	index := indexIn(t, folder)
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	images := map[string]v1.Image{}
	for _, described := range manifest.Manifests {
		if images[described.Platform.Architecture], err = index.Image(described.Digest); err != nil {
			t.Fatal(err)
		}
	}
	return images
}

func TestImageOfTheSameProgramHasOneDigest(t *testing.T) {
	program := operatorOf(t)
	other := filepath.Join(t.TempDir(), "elsewhere")
	if err := os.WriteFile(other, read(t, program), 0o500); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(other, time.Unix(1, 0), time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	first := files(t, thePackedImage(t))
	second := files(t, packImage(t, "--operator", "amd64="+other, "--source", repository, "--revision", "0123abc"))
	for name := range first {
		if first[name] != second[name] {
			t.Errorf("%s differs", name)
		}
	}
	if len(first) != 4 || len(second) != 4 {
		t.Errorf("%d and %d files", len(first), len(second))
	}
}

func TestImageHasTheOperatorAndWhatItNeedsOnly(t *testing.T) {
	image := imagesIn(t, thePackedImage(t))["amd64"]
	root, found := t.TempDir(), map[string]bool{}
	content := mutate.Extract(image)
	defer content.Close()
	for reader := tar.NewReader(content); ; {
		header, err := reader.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		if header.Uid != 0 || header.Gid != 0 || header.ModTime.Unix() != 0 {
			t.Errorf("%s is of %d:%d and of %s", header.Name, header.Uid, header.Gid, header.ModTime)
		}
		if header.Typeflag == tar.TypeReg && header.Mode != 0o644 && header.Mode != 0o755 || header.Typeflag == tar.TypeDir && header.Mode != 0o755 {
			t.Errorf("%s has the mode %o", header.Name, header.Mode)
		}
		path := filepath.Join(root, header.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		switch header.Typeflag {
		case tar.TypeReg:
			found[header.Name] = true
			if err := os.WriteFile(path, data, os.FileMode(header.Mode)); err != nil {
				t.Fatal(err)
			}
		case tar.TypeSymlink:
			found[header.Name+" -> "+header.Linkname] = true
		}
	}
	var names []string
	for name := range found {
		// Two files for each package of Debian.
		if !strings.HasPrefix(name, "usr/share/doc/") && !strings.HasPrefix(name, "var/lib/dpkg/status.d/") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	expected := []string{
		"etc/group",
		"etc/nsswitch.conf",
		"etc/os-release -> ../usr/lib/os-release",
		"etc/passwd",
		"etc/ssl/certs/ca-certificates.crt",
		"lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
		"lib/x86_64-linux-gnu/libc.so.6",
		"lib/x86_64-linux-gnu/libgcc_s.so.1",
		"lib/x86_64-linux-gnu/libm.so.6",
		"lib64/ld-linux-x86-64.so.2 -> /lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
		"usr/lib/os-release",
		"usr/local/bin/nuvo-operator",
	}
	if !slices.Equal(names, expected) {
		t.Errorf("the image has %v", names)
	}
	for _, of := range append(basePackages, "nuvo-operator") {
		documented := found["usr/share/doc/"+of+"/copyright"] || found["usr/share/doc/"+of+" -> gcc-12-base"]
		if !documented || of != "nuvo-operator" && !found["var/lib/dpkg/status.d/"+of] {
			t.Errorf("%s is not documented in %v", of, found)
		}
	}

	// With nothing but the libraries of the image.
	libraries := filepath.Join(root, "lib/x86_64-linux-gnu")
	started := exec.Command(filepath.Join(libraries, "ld-linux-x86-64.so.2"), "--inhibit-cache", "--library-path", libraries, filepath.Join(root, operator), "--version")
	if said := succeed(t, started); said != "nuvo-operator "+version+"\n" {
		t.Error(said)
	}
	authorities := 0
	for rest := read(t, filepath.Join(root, "etc/ssl/certs/ca-certificates.crt")); ; authorities++ {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			if len(bytes.TrimSpace(rest)) > 0 {
				t.Errorf("no certificate: %s", rest)
			}
			break
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			t.Error(err)
		}
	}
	if authorities < 100 {
		t.Errorf("%d public authorities", authorities)
	}
}

func TestImageRunsAsTheChartRunsIt(t *testing.T) {
	file, err := imagesIn(t, thePackedImage(t))["amd64"].ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	var values struct {
		PodSecurityContext struct{ RunAsUser, RunAsGroup int }
		Health, Metrics    struct{ Port int }
	}
	if err := yaml.Unmarshal(read(t, "../../charts/nuvo-operator/values.yaml"), &values); err != nil {
		t.Fatal(err)
	}
	config := file.Config
	if config.User != fmt.Sprintf("%d:%d", values.PodSecurityContext.RunAsUser, values.PodSecurityContext.RunAsGroup) || config.User != "65532:65532" {
		t.Error(config.User)
	}
	for _, port := range []int{values.Health.Port, values.Metrics.Port} {
		if _, exposed := config.ExposedPorts[fmt.Sprintf("%d/tcp", port)]; !exposed {
			t.Errorf("%d is not exposed", port)
		}
	}
	if !slices.Equal(config.Entrypoint, []string{"/usr/local/bin/nuvo-operator"}) || !slices.Equal(config.Cmd, []string{"run"}) {
		t.Errorf("%v %v", config.Entrypoint, config.Cmd)
	}
	if !slices.Equal(config.Env, []string{"MALLOC_ARENA_MAX=1"}) {
		t.Errorf("%v is not what the benchmark measures with", config.Env)
	}
	if config.Labels["org.opencontainers.image.version"] != version {
		t.Error(config.Labels)
	}
}

// For the other architecture there is no operator here: the C library of Debian is a program, too.
func TestImageOfTwoArchitecturesIsPushedAsOneIndex(t *testing.T) {
	program := operatorOf(t)
	absolute, err := filepath.Abs(cache)
	if err != nil {
		t.Fatal(err)
	}
	packages, err := debianPackages(basePackages, "arm64", "http://deb.debian.org", absolute)
	if err != nil {
		t.Fatal(err)
	}
	library, there := fileOf(packages, "lib/aarch64-linux-gnu/libc.so.6")
	if !there {
		t.Fatal("there is no libc.so.6")
	}
	other := filepath.Join(t.TempDir(), "other")
	if err := os.WriteFile(other, library[0].data, 0o755); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	pushed := strings.TrimPrefix(server.URL, "http://") + "/nuvo-operator:" + version
	folder := packImage(t, "--operator", "arm64="+other, "--operator", "amd64="+program, "--push", pushed)
	digest := strings.TrimSpace(string(read(t, filepath.Join(folder, "digest"))))
	reference, err := name.ParseReference(strings.Split(pushed, ":"+version)[0] + "@" + digest)
	if err != nil {
		t.Fatal(err)
	}
	index, err := remote.Index(reference)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	var platforms []string
	for _, described := range manifest.Manifests {
		platforms = append(platforms, described.Platform.String())
	}
	if !slices.Equal(platforms, []string{"linux/amd64", "linux/arm64"}) {
		t.Error(platforms)
	}
	for _, arch := range []string{"amd64", "arm64"} {
		if _, err := os.Stat(filepath.Join(folder, fmt.Sprintf("nuvo-operator_%s_linux_%s.spdx.json", version, arch))); err != nil {
			t.Error(err)
		}
	}
}

func TestProgramOfAnotherArchitectureIsNotPacked(t *testing.T) {
	program := operatorOf(t)
	err := run([]string{"image", "--to", t.TempDir(), "--cache", cache, "--license", "../../LICENSE", "--operator", "arm64=" + program})
	if err == nil || !strings.Contains(err.Error(), "is a program for linux_amd64") {
		t.Error(err)
	}
}

func TestProgramThatTheBaseCannotRunIsNotPacked(t *testing.T) {
	program := read(t, operatorOf(t))
	absolute, err := filepath.Abs(cache)
	if err != nil {
		t.Fatal(err)
	}
	packages, err := debianPackages(basePackages, "amd64", "http://deb.debian.org", absolute)
	if err != nil {
		t.Fatal(err)
	}
	libraries := func(change func(files map[string]entry)) error {
		changed := slices.Clone(packages)
		for i := range changed {
			copied := map[string]entry{}
			for name, file := range changed[i].files {
				copied[name] = file
			}
			change(copied)
			changed[i].files = copied
		}
		_, err := base(changed, "amd64", program)
		return err
	}
	if err := libraries(func(map[string]entry) {}); err != nil {
		t.Error(err)
	}
	err = libraries(func(files map[string]entry) { delete(files, "lib/x86_64-linux-gnu/libm.so.6") })
	if err == nil || !strings.Contains(err.Error(), "no package has libm.so.6, which the operator needs") {
		t.Error(err)
	}
	// As a C library that is older than that of the machine which has linked the operator.
	const c, m = "lib/x86_64-linux-gnu/libc.so.6", "lib/x86_64-linux-gnu/libm.so.6"
	err = libraries(func(files map[string]entry) {
		if file, there := files[c]; there {
			file.data = files[m].data
			files[c] = file
		}
	})
	if err == nil || !strings.Contains(err.Error(), "of libc.so.6, which Debian bookworm does not have") {
		t.Error(err)
	}
}

func TestSBOMAndProvenanceListWhatIsInTheImage(t *testing.T) {
	folder := thePackedImage(t)
	var document spdxDocument
	if err := json.Unmarshal(read(t, filepath.Join(folder, fmt.Sprintf("nuvo-operator_%s_linux_amd64.spdx.json", version))), &document); err != nil {
		t.Fatal(err)
	}
	ids, locators := map[string]bool{"SPDXRef-DOCUMENT": true}, map[string]bool{}
	for _, of := range document.Packages {
		if ids[of.SPDXID] || !regexp.MustCompile(`^SPDXRef-[a-zA-Z0-9.-]+$`).MatchString(of.SPDXID) {
			t.Errorf("the id %s", of.SPDXID)
		}
		ids[of.SPDXID] = true
		for _, external := range of.ExternalRefs {
			locators[strings.Split(external.Locator, "@")[0]] = true
			if strings.HasPrefix(external.Locator, "pkg:cargo/") && (len(of.Checksums) != 1 || of.LicenseDeclared == unknown) {
				t.Errorf("%s has no checksum or license", external.Locator)
			}
		}
	}
	for _, relationship := range document.Relationships {
		if !ids[relationship.Element] || !ids[relationship.Related] {
			t.Errorf("%v is about something else", relationship)
		}
	}
	for _, in := range []string{"pkg:oci/nuvo-operator", "pkg:deb/debian/libc6", "pkg:deb/debian/ca-certificates", "pkg:cargo/kube", "pkg:cargo/ring"} {
		if !locators[in] {
			t.Errorf("%s is missing", in)
		}
	}
	// Of tests and of the plugin.
	for _, out := range []string{"pkg:cargo/indicatif", "pkg:cargo/clap_complete"} {
		if locators[out] {
			t.Errorf("%s is not in the image", out)
		}
	}

	var made statement
	if err := json.Unmarshal(read(t, filepath.Join(folder, "nuvo-operator_"+version+".provenance.json")), &made); err != nil {
		t.Fatal(err)
	}
	digest, err := indexIn(t, folder).Digest()
	if err != nil {
		t.Fatal(err)
	}
	if len(made.Subject) != 1 || made.Subject[0].Digest["sha256"] != digest.Hex || string(read(t, filepath.Join(folder, "digest"))) != digest.String()+"\n" {
		t.Errorf("%v is not %s", made.Subject, digest)
	}
	if first := made.Predicate.BuildDefinition.ResolvedDependencies[0]; first.Digest["gitCommit"] != "0123abc" {
		t.Error(first)
	}
}

func TestPackagesAreUnpackedWithTheirModesAndLinks(t *testing.T) {
	operatorOf(t)
	to := t.TempDir()
	if err := run([]string{"packages", "--names", "libmnl0,runc", "--arch", "amd64", "--cache", cache, "--to", to}); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(to, "usr/sbin/runc")); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("%v, %v", info, err)
	}
	if target, err := os.Readlink(filepath.Join(to, "usr/lib/x86_64-linux-gnu/libmnl.so.0")); err != nil || !strings.HasPrefix(target, "libmnl.so.0.") {
		t.Errorf("%s, %v", target, err)
	}
}

func TestProgramThatIsNotLinkedIsPackedAlone(t *testing.T) {
	to := t.TempDir()
	from := filepath.Join(programs(t), "linux_amd64", plugin)
	arguments := []string{"program", "--program", from, "--at", "/bin/it", "--name", "registry.example/it:1", "--to", filepath.Join(to, "image.tar")}
	if err := run(arguments); err != nil {
		t.Fatal(err)
	}
	image := imagesIn(t, to)["amd64"]
	content := mutate.Extract(image)
	defer content.Close()
	var names []string
	for reader := tar.NewReader(content); ; {
		header, err := reader.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, strings.TrimSuffix(header.Name, "/"))
	}
	if !slices.Equal(names, []string{"bin", "bin/it", "tmp"}) {
		t.Errorf("%v", names)
	}
	file, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(file.Config.Entrypoint, []string{"/bin/it"}) {
		t.Errorf("%+v", file.Config)
	}
}
