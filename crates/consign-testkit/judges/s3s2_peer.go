// A second reader and writer of what s3s2 shares, for tests to judge by: Go's own archive/zip,
// compress/gzip and golang.org/x/crypto/openpgp, the libraries that s3s2 itself is made of, put
// together by its rules. Build it with Debian's golang-go and golang-golang-x-crypto-dev:
//
//	GO111MODULE=off GOPATH=/usr/share/gocode go build -o s3s2-peer s3s2_peer.go
//
// Usage:
//
//	s3s2-peer genkey PRIVATE PUBLIC          two bare RSA key packets, armored
//	s3s2-peer seal PUBLIC FILE SEALED ENTRY  zip, gzip, OpenPGP, armor; ENTRY names the file in the zip
//	s3s2-peer open PRIVATE SEALED FILE       the reverse; prints the armor's type, the cipher's
//	                                         key ids and the name of the zip's entry
package main

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"golang.org/x/crypto/openpgp"
	"golang.org/x/crypto/openpgp/armor"
	"golang.org/x/crypto/openpgp/packet"
	_ "golang.org/x/crypto/ripemd160" // the hash that s3s2 ends up with must be there, or nothing is sealed
)

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	verb, args := os.Args[1], os.Args[2:]
	switch verb {
	case "genkey":
		genkey(args[0], args[1])
	case "seal":
		seal(args[0], args[1], args[2], args[3])
	case "open":
		open(args[0], args[1], args[2])
	default:
		log.Fatalf("no verb %q", verb)
	}
}

// genkey writes what `s3s2 genkey` writes: one packet per file, no user id, no signature.
func genkey(private, public string) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	must(err)
	now := time.Now()
	armored(private, openpgp.PrivateKeyType, packet.NewRSAPrivateKey(now, key).Serialize)
	armored(public, openpgp.PublicKeyType, packet.NewRSAPublicKey(now, &key.PublicKey).Serialize)
}

func armored(path, kind string, serialize func(io.Writer) error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0600)
	must(err)
	w, err := armor.Encode(file, kind, nil)
	must(err)
	must(serialize(w))
	must(w.Close())
	must(file.Close())
}

// first reads the first packet of an armored file: s3s2 looks at no other.
func first(path string) packet.Packet {
	file, err := os.Open(path)
	must(err)
	defer file.Close()
	block, err := armor.Decode(file)
	must(err)
	p, err := packet.NewReader(block.Body).Next()
	must(err)
	return p
}

// entity is a key that says of itself what s3s2 makes it say: encrypt with the primary key.
func entity(public *packet.PublicKey, private *packet.PrivateKey) *openpgp.Entity {
	now, no, year := time.Now(), false, uint32(365*24*3600)
	sign := func(kind packet.SignatureType) packet.Signature {
		return packet.Signature{
			CreationTime: now, SigType: kind, PubKeyAlgo: packet.PubKeyAlgoRSA,
			Hash: crypto.SHA256, FlagsValid: true, IssuerKeyId: &public.KeyId,
		}
	}
	self, binding := sign(packet.SigTypePositiveCert), sign(packet.SigTypeSubkeyBinding)
	self.IsPrimaryId, self.FlagSign, self.FlagCertify = &no, true, true
	binding.PreferredHash, binding.KeyLifetimeSecs = []uint8{8}, &year
	binding.FlagEncryptStorage, binding.FlagEncryptCommunications = true, true
	uid := packet.NewUserId("", "", "")
	return &openpgp.Entity{
		PrimaryKey: public,
		PrivateKey: private,
		Identities: map[string]*openpgp.Identity{
			uid.Id: {Name: uid.Name, UserId: uid, SelfSignature: &self},
		},
		Subkeys: []openpgp.Subkey{{PublicKey: public, PrivateKey: private, Sig: &binding}},
	}
}

func config() *packet.Config {
	return &packet.Config{
		DefaultHash: crypto.SHA256, DefaultCipher: packet.CipherAES256,
		DefaultCompressionAlgo: packet.CompressionNone, RSABits: 4096,
	}
}

func seal(public, source, sealed, entry string) {
	content, err := os.ReadFile(source)
	must(err)
	info, err := os.Stat(source)
	must(err)
	var zipped bytes.Buffer
	z := zip.NewWriter(&zipped)
	header, err := zip.FileInfoHeader(info)
	must(err)
	header.Name, header.Method = entry, zip.Deflate
	w, err := z.CreateHeader(header)
	must(err)
	_, err = w.Write(content)
	must(err)
	must(z.Close())

	file, err := os.Create(sealed)
	must(err)
	a, err := armor.Encode(file, "Message", map[string]string{})
	must(err)
	to := entity(first(public).(*packet.PublicKey), nil)
	plain, err := openpgp.Encrypt(a, []*openpgp.Entity{to}, nil, &openpgp.FileHints{IsBinary: true}, config())
	must(err)
	g, err := gzip.NewWriterLevel(plain, gzip.BestCompression)
	must(err)
	_, err = io.Copy(g, &zipped)
	must(err)
	must(g.Close())
	must(plain.Close())
	must(a.Close())
	must(file.Close())
}

func open(private, sealed, target string) {
	file, err := os.Open(sealed)
	must(err)
	block, err := armor.Decode(file)
	must(err)
	key := first(private).(*packet.PrivateKey)
	ring := openpgp.EntityList{entity(&key.PublicKey, key)}
	message, err := openpgp.ReadMessage(block.Body, ring, nil, config())
	must(err)
	g, err := gzip.NewReader(message.UnverifiedBody)
	must(err)
	zipped, err := io.ReadAll(g)
	must(err)
	z, err := zip.NewReader(bytes.NewReader(zipped), int64(len(zipped)))
	must(err)
	if len(z.File) != 1 {
		log.Fatalf("%d entries", len(z.File))
	}
	entry, err := z.File[0].Open()
	must(err)
	content, err := io.ReadAll(entry)
	must(err)
	must(os.WriteFile(target, content, 0600))
	fmt.Printf("%s\n%x\n%s\n%s\n", block.Type, message.EncryptedToKeyIds, z.File[0].Name, z.File[0].Mode())
}
