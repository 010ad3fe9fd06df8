// Command cosign plays a release against a registry of its own: it serves one, pushes what ../release has packed, and signs and verifies it
// with a local key, as cosign does. `cargo xtask node` plays with it on a node, and the test beside it without one.
package main

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/sigstore/cosign/v3/pkg/cosign"
	"github.com/sigstore/cosign/v3/pkg/oci"
	"github.com/sigstore/cosign/v3/pkg/oci/mutate"
	ociremote "github.com/sigstore/cosign/v3/pkg/oci/remote"
	"github.com/sigstore/cosign/v3/pkg/oci/static"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/payload"
)

const usage = `usage: cosign COMMAND

  registry ADDRESS         serves a registry without TLS, and prints each request
  push ARCHIVE NAME        pushes an image
  key FILE                 makes a key, and FILE.pub
  sign FILE NAME@DIGEST    signs with this key
  verify FILE.pub NAME     fails without a signature of this key
`

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	commands := map[string]struct {
		arguments int
		run       func([]string) error
	}{
		"registry": {1, func(given []string) error { return serve(given[0]) }},
		"push":     {2, func(given []string) error { return push(given[0], given[1]) }},
		"key":      {1, func(given []string) error { return makeKey(given[0]) }},
		"sign":     {2, func(given []string) error { return signWith(given[0], given[1]) }},
		"verify":   {2, func(given []string) error { return verifyWith(given[0], given[1]) }},
	}
	if len(arguments) == 0 || len(arguments)-1 != commands[arguments[0]].arguments {
		return errors.New(usage)
	}
	return commands[arguments[0]].run(arguments[1:])
}

func serve(address string) error {
	return http.ListenAndServe(address, registry.New(registry.Logger(log.New(os.Stdout, "", 0))))
}

func push(archive, reference string) error {
	to, err := name.ParseReference(reference)
	if err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "image")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	if err := unpack(archive, folder); err != nil {
		return err
	}
	outer, err := layout.ImageIndexFromPath(folder)
	if err != nil {
		return err
	}
	manifest, err := outer.IndexManifest()
	if err != nil {
		return err
	}
	index, err := outer.ImageIndex(manifest.Manifests[0].Digest)
	if err != nil {
		return err
	}
	return remote.WriteIndex(to, index)
}

func unpack(archive, folder string) error {
	file, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer file.Close()
	root, err := os.OpenRoot(folder)
	if err != nil {
		return err
	}
	defer root.Close()
	for reader := tar.NewReader(file); ; {
		header, err := reader.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if header.Typeflag != tar.TypeReg {
			continue
		}
		data, err := io.ReadAll(reader)
		if err != nil {
			return err
		}
		if err := root.MkdirAll(filepath.Dir(header.Name), 0o755); err != nil {
			return err
		}
		if err := root.WriteFile(header.Name, data, 0o644); err != nil {
			return err
		}
	}
}

func makeKey(path string) error {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	secret, err := cryptoutils.MarshalPrivateKeyToPEM(private)
	if err != nil {
		return err
	}
	public, err := cryptoutils.MarshalPublicKeyToPEM(private.Public())
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, secret, 0o600); err != nil {
		return err
	}
	return os.WriteFile(path+".pub", public, 0o644)
}

func signWith(path, reference string) error {
	digest, err := name.NewDigest(reference)
	if err != nil {
		return err
	}
	signer, err := signature.LoadSignerFromPEMFile(path, crypto.SHA256, cryptoutils.SkipPassword)
	if err != nil {
		return err
	}
	return sign(signer, digest)
}

func verifyWith(path, reference string) error {
	of, err := name.ParseReference(reference)
	if err != nil {
		return err
	}
	verifier, err := signature.LoadVerifierFromPEMFile(path, crypto.SHA256)
	if err != nil {
		return err
	}
	return verify(verifier, of)
}

// sign does what `cosign sign --key` does.
func sign(signer signature.Signer, digest name.Digest) error {
	claims, err := payload.Cosign{Image: digest}.MarshalJSON()
	if err != nil {
		return err
	}
	signed, err := signer.SignMessage(bytes.NewReader(claims))
	if err != nil {
		return err
	}
	attached, err := static.NewSignature(claims, base64.StdEncoding.EncodeToString(signed))
	if err != nil {
		return err
	}
	entity, err := ociremote.SignedEntity(digest)
	if err != nil {
		return err
	}
	if entity, err = mutate.AttachSignatureToEntity(entity, attached); err != nil {
		return err
	}
	return ociremote.WriteSignatures(digest.Repository, entity)
}

// verify is what `cosign verify --key` says.
func verify(verifier signature.Verifier, reference name.Reference) error {
	_, _, err := cosign.VerifyImageSignatures(context.Background(), reference, checks(verifier, cosign.SimpleClaimVerifier))
	return err
}

func checks(verifier signature.Verifier, claims func(oci.Signature, v1.Hash, map[string]any) error) *cosign.CheckOpts {
	// A transparency log cannot be reached from a test.
	return &cosign.CheckOpts{SigVerifier: verifier, ClaimVerifier: claims, IgnoreTlog: true, Offline: true}
}
