package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// crate is a package of Rust that is linked into the operator.
type crate struct {
	name, version, license string
	// Empty for those of this repository.
	sha256 string
}

// linkedCrates are those of the operator on an architecture, with what Cargo.lock says of them.
func linkedCrates(lock, arch string) ([]crate, error) {
	sums, err := checksums(lock)
	if err != nil {
		return nil, err
	}
	target := strings.Replace(triplets[arch], "-linux", "-unknown-linux", 1)
	tree := exec.Command("cargo", "tree", "--package=nuvo-operator", "--edges=normal,no-proc-macro", "--target="+target, "--locked", "--prefix=none",
		"--format={p}|{l}")
	tree.Dir = filepath.Dir(lock)
	output, err := tree.Output()
	if err != nil {
		return nil, fmt.Errorf("cargo tree: %w", err)
	}
	found := map[string]crate{}
	for line := range strings.Lines(string(output)) {
		// A star is behind what was listed before.
		described, license, is := strings.Cut(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(line), "(*)")), "|")
		words := strings.Fields(described)
		if !is || len(words) < 2 {
			continue
		}
		one := crate{name: words[0], version: strings.TrimPrefix(words[1], "v"), license: strings.ReplaceAll(strings.TrimSpace(license), "/", " OR ")}
		one.sha256 = sums[one.name+" "+one.version]
		found[one.name+" "+one.version] = one
	}
	var crates []crate
	for _, one := range found {
		crates = append(crates, one)
	}
	slices.SortFunc(crates, func(a, b crate) int { return strings.Compare(a.name+" "+a.version, b.name+" "+b.version) })
	if !slices.ContainsFunc(crates, func(one crate) bool { return one.name == "nuvo-operator" && one.version == version }) {
		return nil, fmt.Errorf("cargo tree does not list nuvo-operator %s", version)
	}
	return crates, nil
}

// checksums are those in Cargo.lock, by name and version.
func checksums(lock string) (map[string]string, error) {
	data, err := os.ReadFile(lock)
	if err != nil {
		return nil, err
	}
	sums := map[string]string{}
	var name, number string
	for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
		key, value, _ := strings.Cut(lines.Text(), " = ")
		value = strings.Trim(value, `"`)
		switch key {
		case "name":
			name = value
		case "version":
			number = value
		case "checksum":
			sums[name+" "+number] = value
		}
	}
	return sums, nil
}

// The parts of SPDX 2.3 that are used.
type spdxDocument struct {
	SPDXVersion       string             `json:"spdxVersion"`
	DataLicense       string             `json:"dataLicense"`
	SPDXID            string             `json:"SPDXID"`
	Name              string             `json:"name"`
	DocumentNamespace string             `json:"documentNamespace"`
	CreationInfo      spdxCreation       `json:"creationInfo"`
	Packages          []spdxPackage      `json:"packages"`
	Relationships     []spdxRelationship `json:"relationships"`
}

type spdxCreation struct {
	Created  string   `json:"created"`
	Creators []string `json:"creators"`
}

type spdxPackage struct {
	SPDXID           string            `json:"SPDXID"`
	Name             string            `json:"name"`
	VersionInfo      string            `json:"versionInfo"`
	DownloadLocation string            `json:"downloadLocation"`
	FilesAnalyzed    bool              `json:"filesAnalyzed"`
	LicenseConcluded string            `json:"licenseConcluded"`
	LicenseDeclared  string            `json:"licenseDeclared"`
	CopyrightText    string            `json:"copyrightText"`
	Purpose          string            `json:"primaryPackagePurpose,omitempty"`
	Checksums        []spdxChecksum    `json:"checksums,omitempty"`
	ExternalRefs     []spdxExternalRef `json:"externalRefs,omitempty"`
}

type spdxChecksum struct {
	Algorithm string `json:"algorithm"`
	Value     string `json:"checksumValue"`
}

type spdxExternalRef struct {
	Category string `json:"referenceCategory"`
	Type     string `json:"referenceType"`
	Locator  string `json:"referenceLocator"`
}

type spdxRelationship struct {
	Element string `json:"spdxElementId"`
	Type    string `json:"relationshipType"`
	Related string `json:"relatedSpdxElement"`
}

const unknown = "NOASSERTION"

var notInID = regexp.MustCompile(`[^A-Za-z0-9.]+`)

func spdxID(kind, name, version string) string {
	return "SPDXRef-" + kind + "-" + notInID.ReplaceAllString(name+"-"+version, "-")
}

func component(kind, name, version, license, sum, purl string) spdxPackage {
	made := spdxPackage{
		SPDXID: spdxID(kind, name, version), Name: name, VersionInfo: version, DownloadLocation: unknown,
		LicenseConcluded: unknown, LicenseDeclared: license, CopyrightText: unknown,
	}
	if license == "" {
		made.LicenseDeclared = unknown
	}
	if sum != "" {
		made.Checksums = []spdxChecksum{{"SHA256", sum}}
	}
	if purl != "" {
		made.ExternalRefs = []spdxExternalRef{{"PACKAGE-MANAGER", "purl", purl}}
	}
	return made
}

// sbom lists what is in the image for one architecture: the packages of Debian, and the crates that the operator is linked of.
func sbom(part packedImage) (spdxDocument, error) {
	digest, err := part.image.Digest()
	if err != nil {
		return spdxDocument{}, err
	}
	whole := component("Image", "nuvo-operator", digest.Hex, "Apache-2.0", digest.Hex, "pkg:oci/nuvo-operator@"+url.QueryEscape(digest.String())+"?arch="+part.arch)
	whole.VersionInfo, whole.Purpose = version, "CONTAINER"
	program := component("Program", "nuvo-operator", version, "Apache-2.0", fmt.Sprintf("%x", sha256.Sum256(part.operator)), "")
	program.Purpose = "APPLICATION"
	document := spdxDocument{
		SPDXVersion: "SPDX-2.3", DataLicense: "CC0-1.0", SPDXID: "SPDXRef-DOCUMENT",
		Name:              "nuvo-operator " + version + " for linux/" + part.arch,
		DocumentNamespace: "https://nuvo.dev/spdx/nuvo-operator-" + version + "-" + part.arch + "-" + digest.Hex,
		CreationInfo:      spdxCreation{time.Unix(epoch, 0).UTC().Format(time.RFC3339), []string{"Tool: cargo xtask image " + version}},
		Packages:          []spdxPackage{whole, program},
		Relationships:     []spdxRelationship{{"SPDXRef-DOCUMENT", "DESCRIBES", whole.SPDXID}, {whole.SPDXID, "CONTAINS", program.SPDXID}},
	}
	for _, of := range part.packages {
		purl := fmt.Sprintf("pkg:deb/debian/%s@%s?arch=%s&distro=debian-12", of.name, strings.ReplaceAll(of.version, "+", "%2B"), part.arch)
		document.Packages = append(document.Packages, component("Debian", of.name, of.version, "", of.sha256, purl))
		document.Relationships = append(document.Relationships, spdxRelationship{whole.SPDXID, "CONTAINS", spdxID("Debian", of.name, of.version)})
	}
	for _, one := range part.crates {
		purl := ""
		if one.sha256 != "" {
			purl = "pkg:cargo/" + one.name + "@" + strings.ReplaceAll(one.version, "+", "%2B")
		}
		document.Packages = append(document.Packages, component("Crate", one.name, one.version, one.license, one.sha256, purl))
		document.Relationships = append(document.Relationships, spdxRelationship{program.SPDXID, "STATIC_LINK", spdxID("Crate", one.name, one.version)})
	}
	return document, nil
}

func writeSBOM(part packedImage, to string) error {
	document, err := sbom(part)
	if err != nil {
		return err
	}
	return writeJSON(document, to)
}

func writeJSON(value any, to string) error {
	data, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(to, append(data, '\n'), 0o644)
}

// The parts of in-toto and of SLSA 1 that are used.
type statement struct {
	Type          string     `json:"_type"`
	Subject       []resource `json:"subject"`
	PredicateType string     `json:"predicateType"`
	Predicate     provenance `json:"predicate"`
}

type resource struct {
	Name   string            `json:"name,omitempty"`
	URI    string            `json:"uri,omitempty"`
	Digest map[string]string `json:"digest,omitempty"`
}

type provenance struct {
	BuildDefinition buildDefinition `json:"buildDefinition"`
	RunDetails      runDetails      `json:"runDetails"`
}

type buildDefinition struct {
	BuildType            string            `json:"buildType"`
	ExternalParameters   map[string]string `json:"externalParameters"`
	ResolvedDependencies []resource        `json:"resolvedDependencies"`
}

type runDetails struct {
	Builder struct {
		ID string `json:"id"`
	} `json:"builder"`
}

// build is what is known of the making of an image. It proves nothing until it is signed.
type build struct {
	digest                    v1.Hash
	parts                     []packedImage
	source, revision, builder string
}

// writeProvenance says what the image was made of.
func writeProvenance(of build, to string) error {
	made := statement{
		Type:          "https://in-toto.io/Statement/v1",
		Subject:       []resource{{Name: "nuvo-operator", Digest: map[string]string{"sha256": of.digest.Hex}}},
		PredicateType: "https://slsa.dev/provenance/v1",
	}
	made.Predicate.BuildDefinition = buildDefinition{
		BuildType:          "https://nuvo.dev/cargo-xtask-image/v1",
		ExternalParameters: map[string]string{"version": version, "source": of.source, "revision": of.revision},
	}
	made.Predicate.RunDetails.Builder.ID = of.builder
	dependencies := &made.Predicate.BuildDefinition.ResolvedDependencies
	if of.revision != "" {
		*dependencies = append(*dependencies, resource{URI: "git+" + of.source, Digest: map[string]string{"gitCommit": of.revision}})
	}
	for _, part := range of.parts {
		*dependencies = append(*dependencies, resource{
			Name: "nuvo-operator for linux/" + part.arch, Digest: map[string]string{"sha256": fmt.Sprintf("%x", sha256.Sum256(part.operator))},
		})
		document, err := sbom(part)
		if err != nil {
			return err
		}
		for _, of := range document.Packages {
			if len(of.ExternalRefs) > 0 && of.Purpose == "" {
				*dependencies = append(*dependencies, resource{URI: of.ExternalRefs[0].Locator, Digest: map[string]string{"sha256": of.Checksums[0].Value}})
			}
		}
	}
	return writeJSON(made, to)
}
