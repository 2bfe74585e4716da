package pipeline

import (
	"crypto"
	_ "crypto/sha1" // for fingerprints of that kind
	_ "crypto/sha256"
	_ "crypto/sha512"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/pion/sdp/v3"
)

// fingerprintHashes are those of RFC 8122, section 5, that are any good: of SHA-1,
// only a second message with the same hash would help a forger.
var fingerprintHashes = map[string]crypto.Hash{
	"sha-1": crypto.SHA1, "sha-224": crypto.SHA224, "sha-256": crypto.SHA256, "sha-384": crypto.SHA384, "sha-512": crypto.SHA512,
}

// checkCertificate makes sure that whoever we are connected to has the certificate
// that the remote's description speaks of (RFC 8827, section 6.5): webrtcbin 1.22
// takes any, so that anybody on the way could be at the other end.
func (p *Peer) checkCertificate() error {
	certificate, err := p.bin.remoteCertificate()
	if err == nil && (p.remote == nil || !matches(certificate, p.remote)) {
		err = errors.New("its certificate is not the one whose fingerprint it has told: somebody else may be on the way")
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errDTLS, err)
	}
	return nil
}

// matches says whether a description has the fingerprint of a certificate, in DER
// form.
func matches(certificate []byte, description *sdp.SessionDescription) bool {
	attributes := description.Attributes
	for _, media := range description.MediaDescriptions {
		attributes = append(attributes[:len(attributes):len(attributes)], media.Attributes...)
	}
	for _, a := range attributes {
		name, digits, _ := strings.Cut(strings.TrimSpace(a.Value), " ")
		hash, known := fingerprintHashes[strings.ToLower(name)]
		if a.Key != "fingerprint" || !known {
			continue
		}
		digest := hash.New()
		digest.Write(certificate)
		if strings.EqualFold(strings.ReplaceAll(digits, ":", ""), hex.EncodeToString(digest.Sum(nil))) {
			return true
		}
	}
	return false
}

// decodeCertificate reads the PEM form.
func decodeCertificate(text string) ([]byte, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("it has shown no certificate")
	}
	return block.Bytes, nil
}
