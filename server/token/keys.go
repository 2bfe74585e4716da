package token

import (
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
	strict "github.com/go-jose/go-jose/v4/json" // no member twice, letter case counts
	"github.com/go-jose/go-jose/v4/jwt"
)

// Least sizes of keys: RFC 7518, sections 3.2 and 3.3.
const (
	MinSecret  = 32 // bytes
	minModulus = 2048
)

// ErrKey is wrapped by errors about a key that tokens cannot be trusted with.
var ErrKey = errors.New("token: unusable key")

var errSecret = errors.New("it is secret, want public halves only")

// Keys are those whose signatures are trusted. Each is good for one algorithm
// only, whatever a token says of itself.
type Keys struct {
	// Audience must be among those that a token names; empty asks for none.
	Audience string

	secrets []key
	set     atomic.Pointer[[]key] // those of the JWKS
}

type key struct {
	id        string // the kid of a JWKS; empty if it has none
	algorithm jose.SignatureAlgorithm
	public    any // the shared secret with HS256
}

func checkSecret(secret []byte) error {
	if len(secret) < MinSecret {
		return fmt.Errorf("%w: the secret has %d bytes, want %d or more, such as from: openssl rand -base64 32", ErrKey, len(secret), MinSecret)
	}
	return nil
}

// AddSecret trusts HS256 tokens with a secret of MinSecret bytes or more. It is
// for the time before the keys are used.
func (k *Keys) AddSecret(secret []byte) error {
	if err := checkSecret(secret); err != nil {
		return err
	}
	k.secrets = append(k.secrets, key{algorithm: jose.HS256, public: secret})
	return nil
}

// SetJWKS trusts tokens that are signed with the RS256 and ES256 keys of a JSON
// Web Key Set (RFC 7517), which holds the public halves, and no longer those of
// an earlier set. Keys for other uses and algorithms are passed over; how many
// are left, which may be none, is returned. With an error, which wraps ErrKey,
// nothing changes. It may be called at any time.
func (k *Keys) SetJWKS(document []byte) (usable int, err error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(document, &set); err != nil {
		return 0, fmt.Errorf("%w: want a JSON Web Key Set: %w", ErrKey, err)
	}
	if set.Keys == nil {
		return 0, fmt.Errorf("%w: want a JSON Web Key Set, with a member \"keys\"", ErrKey)
	}
	var keys []key
	for i, raw := range set.Keys {
		parsed, err := parseKey(raw)
		if err != nil {
			return 0, fmt.Errorf("%w: key %d of the set: %w", ErrKey, i+1, err)
		}
		if parsed != nil {
			keys = append(keys, *parsed)
		}
	}
	k.set.Store(&keys)
	return len(keys), nil
}

// all are the keys that are trusted now.
func (k *Keys) all() []key {
	if set := k.set.Load(); set != nil {
		return slices.Concat(k.secrets, *set)
	}
	return k.secrets
}

// parseKey gives nil for a key that is not for us.
func parseKey(raw json.RawMessage) (*key, error) {
	var kind struct{ Kty, Crv, Use, Alg string }
	if err := json.Unmarshal(raw, &kind); err != nil {
		return nil, err
	}
	var algorithm jose.SignatureAlgorithm
	switch {
	case kind.Use != "" && kind.Use != "sig":
		return nil, nil
	case kind.Kty == "RSA":
		algorithm = jose.RS256
	case kind.Kty == "EC" && kind.Crv == "P-256":
		algorithm = jose.ES256
	case kind.Kty == "oct":
		return nil, errSecret
	default:
		return nil, nil
	}
	switch kind.Alg {
	case "", string(algorithm):
		return parsePublic(raw, algorithm)
	case string(jose.RS256), string(jose.ES256):
		return nil, fmt.Errorf("its kind %s does not fit its algorithm %s", kind.Kty, kind.Alg)
	}
	return nil, nil
}

func parsePublic(raw json.RawMessage, algorithm jose.SignatureAlgorithm) (*key, error) {
	var jwk jose.JSONWebKey
	if err := jwk.UnmarshalJSON(raw); err != nil {
		return nil, err
	}
	if !jwk.IsPublic() {
		return nil, errSecret
	}
	if public, ok := jwk.Key.(*rsa.PublicKey); ok && public.N.BitLen() < minModulus {
		return nil, fmt.Errorf("it has %d bits, want %d or more", public.N.BitLen(), minModulus)
	}
	return &key{jwk.KeyID, algorithm, jwk.Key}, nil
}

// Verify reads a token. Of one that is not valid now, the error is or wraps one
// of this package's.
func (k *Keys) Verify(token string, now time.Time) (Grant, error) {
	if len(token) > maxToken {
		return Grant{}, ErrMalformed
	}
	keys := k.all()
	parsed, err := jwt.ParseSigned(token, algorithms(keys))
	if err != nil {
		return Grant{}, ErrMalformed
	}
	c, err := trusted(keys, parsed)
	if err != nil {
		return Grant{}, err
	}
	if c.Expiry == nil {
		return Grant{}, fmt.Errorf("%w: exp is missing", ErrClaims)
	}
	expected := jwt.Expected{Time: now}
	if k.Audience != "" {
		expected.AnyAudience = jwt.Audience{k.Audience}
	}
	switch err := c.ValidateWithLeeway(expected, Leeway); {
	case errors.Is(err, jwt.ErrExpired):
		return Grant{}, ErrExpired
	case errors.Is(err, jwt.ErrInvalidAudience):
		return Grant{}, ErrAudience
	case err != nil:
		return Grant{}, ErrNotYetValid
	}
	return c.grant()
}

func algorithms(keys []key) []jose.SignatureAlgorithm {
	algorithms := make([]jose.SignatureAlgorithm, len(keys))
	for i := range keys {
		algorithms[i] = keys[i].algorithm
	}
	return algorithms
}

// trusted gives the claims of a token that one of the keys has signed. A key is
// tried with its own algorithm only.
func trusted(keys []key, token *jwt.JSONWebToken) (*claims, error) {
	header := token.Headers[0] // the compact form has one
	for _, key := range keys {
		otherKey := header.KeyID != "" && key.id != "" && header.KeyID != key.id
		if otherKey || header.Algorithm != string(key.algorithm) {
			continue
		}
		var signed json.RawMessage
		if token.Claims(key.public, &signed) != nil {
			continue
		}
		var c claims
		if strict.Unmarshal(signed, &c) != nil {
			return nil, fmt.Errorf("%w: one is of a wrong type, or there twice", ErrClaims)
		}
		return &c, nil
	}
	return nil, ErrUntrusted
}
