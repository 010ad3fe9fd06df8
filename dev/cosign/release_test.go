package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/sigstore/cosign/v3/pkg/cosign"
	"github.com/sigstore/cosign/v3/pkg/oci/mutate"
	ociremote "github.com/sigstore/cosign/v3/pkg/oci/remote"
	"github.com/sigstore/cosign/v3/pkg/oci/static"
	"github.com/sigstore/cosign/v3/pkg/types"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/dsse"
)

const (
	source = "https://github.com/example/nuvo-operator"
	// Where the packer finds the files that it packs.
	repository = "../.."
)

// program is what `cargo test --test release` has built.
func program(t *testing.T, variable string) string {
	t.Helper()
	path := os.Getenv(variable)
	if path == "" {
		t.Skipf("%s names no program: cargo test --test release does", variable)
	}
	return path
}

func succeed(t *testing.T, program string, arguments ...string) string {
	t.Helper()
	command := exec.Command(program, arguments...)
	command.Dir = repository
	// Nothing of this machine's Helm is read or written.
	helm := t.TempDir()
	command.Env = append(os.Environ(), "HELM_CACHE_HOME="+helm, "HELM_CONFIG_HOME="+helm, "HELM_DATA_HOME="+helm)
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", command.Args, err, output)
	}
	return string(output)
}

func must[T any](value T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

type key struct {
	signature.SignerVerifier
}

func newKey(t *testing.T) key {
	t.Helper()
	private := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	return key{must(signature.LoadECDSASignerVerifier(private, crypto.SHA256))(t)}
}

func (k key) sign(t *testing.T, digest name.Digest) {
	t.Helper()
	if err := sign(k, digest); err != nil {
		t.Fatal(err)
	}
}

// attest does what `cosign attest --key` does.
func (k key) attest(t *testing.T, digest name.Digest, kind string, predicate []byte) {
	t.Helper()
	statement := must(json.Marshal(map[string]any{
		"_type":         "https://in-toto.io/Statement/v0.1",
		"predicateType": kind,
		"subject": []any{map[string]any{
			"name":   digest.Repository.String(),
			"digest": map[string]string{"sha256": strings.TrimPrefix(digest.DigestStr(), "sha256:")},
		}},
		"predicate": json.RawMessage(predicate),
	}))(t)
	envelope := must(dsse.WrapSigner(k, types.IntotoPayloadType).SignMessage(bytes.NewReader(statement)))(t)
	attached := must(static.NewAttestation(envelope, static.WithLayerMediaType(types.DssePayloadType)))(t)
	entity := must(mutate.AttachAttestationToEntity(must(ociremote.SignedEntity(digest))(t), attached))(t)
	if err := ociremote.WriteAttestations(digest.Repository, entity); err != nil {
		t.Fatal(err)
	}
}

func (k key) verified(reference name.Reference) error { return verify(k, reference) }

// attested are the statements that `cosign verify-attestation --key` finds.
func (k key) attested(t *testing.T, reference name.Reference) []map[string]any {
	t.Helper()
	attestations, _, err := cosign.VerifyImageAttestations(context.Background(), reference, checks(k, cosign.IntotoSubjectClaimVerifier))
	if err != nil {
		t.Fatal(err)
	}
	var statements []map[string]any
	for _, attestation := range attestations {
		var envelope struct{ Payload []byte }
		if err := json.Unmarshal(must(attestation.Payload())(t), &envelope); err != nil {
			t.Fatal(err)
		}
		var statement map[string]any
		if err := json.Unmarshal(envelope.Payload, &statement); err != nil {
			t.Fatal(err)
		}
		statements = append(statements, statement)
	}
	return statements
}

// The image and the chart are pushed, signed, verified, and pulled as users do.
func TestReleaseIsPushedSignedVerifiedAndPulled(t *testing.T) {
	packer, helm, operator := program(t, "NUVO_PACKER"), program(t, "NUVO_HELM"), program(t, "NUVO_OPERATOR")
	version := strings.Fields(succeed(t, operator, "--version"))[1]
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	dist := t.TempDir()
	owner, stranger := newKey(t), newKey(t)

	// The image.
	image := host + "/example/nuvo-operator"
	succeed(t, packer, "image", "--to", dist, "--operator", "amd64="+operator, "--push", image+":"+version, "--source", source, "--revision", "0123abc")
	digest := strings.TrimSpace(string(must(os.ReadFile(filepath.Join(dist, "digest")))(t)))
	pushed := must(name.NewDigest(image + "@" + digest))(t)
	tagged := must(name.ParseReference(image + ":" + version))(t)
	if found := must(remote.Head(tagged))(t).Digest.String(); found != digest {
		t.Errorf("the tag is %s, and was packed as %s", found, digest)
	}
	if owner.verified(tagged) == nil {
		t.Error("an image without a signature is verified")
	}
	owner.sign(t, pushed)
	if err := owner.verified(tagged); err != nil {
		t.Error(err)
	}
	if stranger.verified(tagged) == nil {
		t.Error("the signature is verified with another key")
	}

	// The SBOM of each architecture, as the workflow attaches it, and the provenance.
	manifest := must(must(remote.Index(pushed))(t).IndexManifest())(t)
	ofArchitecture := pushed.Repository.Digest(manifest.Manifests[0].Digest.String())
	sbom := must(os.ReadFile(filepath.Join(dist, "nuvo-operator_"+version+"_linux_amd64.spdx.json")))(t)
	var described struct {
		Packages []struct {
			PrimaryPackagePurpose string
			Checksums             []struct{ ChecksumValue string }
		}
	}
	if err := json.Unmarshal(sbom, &described); err != nil {
		t.Fatal(err)
	}
	of := ""
	for _, found := range described.Packages {
		if found.PrimaryPackagePurpose == "CONTAINER" {
			of = "sha256:" + found.Checksums[0].ChecksumValue
		}
	}
	if of != ofArchitecture.DigestStr() {
		t.Errorf("the SBOM is about %s, and the image is %s", of, ofArchitecture)
	}
	owner.attest(t, ofArchitecture, "https://spdx.dev/Document", sbom)
	var provenance struct {
		PredicateType string
		Predicate     json.RawMessage
		Subject       []struct{ Digest map[string]string }
	}
	if err := json.Unmarshal(must(os.ReadFile(filepath.Join(dist, "nuvo-operator_"+version+".provenance.json")))(t), &provenance); err != nil {
		t.Fatal(err)
	}
	if "sha256:"+provenance.Subject[0].Digest["sha256"] != digest {
		t.Errorf("the provenance is about %v", provenance.Subject)
	}
	owner.attest(t, pushed, provenance.PredicateType, provenance.Predicate)
	for reference, kind := range map[name.Reference]string{ofArchitecture: "https://spdx.dev/Document", tagged: "https://slsa.dev/provenance/v1"} {
		if found := owner.attested(t, reference); len(found) != 1 || found[0]["predicateType"] != kind {
			t.Errorf("%s has no %s", reference, kind)
		}
	}

	// The chart, which installs this image.
	succeed(t, packer, "chart", "--image", image+"@"+digest, "--repository", source, "--to", dist, "--helm", helm)
	charts := host + "/example/nuvo-operator/charts"
	said := succeed(t, helm, "push", "--plain-http", filepath.Join(dist, "nuvo-operator-"+version+".tgz"), "oci://"+charts)
	_, after, _ := strings.Cut(said, "Digest: ")
	chart := must(name.NewDigest(charts + "/nuvo-operator@" + strings.Fields(after)[0]))(t)
	owner.sign(t, chart)
	if err := owner.verified(must(name.ParseReference(charts + "/nuvo-operator:" + version))(t)); err != nil {
		t.Error(err)
	}
	succeed(t, helm, "pull", "--plain-http", "oci://"+charts+"/nuvo-operator", "--version", version, "--destination", dist)
	rendered := succeed(t, helm, "template", "nuvo", "--plain-http", "oci://"+charts+"/nuvo-operator", "--version", version)
	if !strings.Contains(rendered, "image: "+image+"@"+digest) && !strings.Contains(rendered, "image: \""+image+"@"+digest+"\"") {
		t.Errorf("the chart does not install %s@%s", image, digest)
	}
	t.Logf("pushed, signed and verified: %s, %s", pushed, chart)
}
