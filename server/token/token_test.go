package token

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/gstpeer/gstpeer/signalling"
)

var (
	secret  = []byte("0123456789abcdef0123456789abcdef")
	other   = []byte("another secret of thirty-two byte")
	now     = time.Unix(1_800_000_000, 0)
	rsaKey  = must(rsa.GenerateKey(rand.Reader, 2048))
	ecKey   = must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	ec384   = must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	foreign = must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func trust(t *testing.T, document string, secrets ...[]byte) *Keys {
	t.Helper()
	k := new(Keys)
	for _, s := range secrets {
		if err := k.AddSecret(s); err != nil {
			t.Fatal(err)
		}
	}
	if document != "" {
		if _, err := k.SetJWKS([]byte(document)); err != nil {
			t.Fatal(err)
		}
	}
	return k
}

// set is a JWKS of the public halves.
func set(keys ...jose.JSONWebKey) string {
	return string(must(json.Marshal(jose.JSONWebKeySet{Keys: keys})))
}

// sign signs any claims, expiring in an hour unless they say when.
func sign(t *testing.T, algorithm jose.SignatureAlgorithm, with any, claims map[string]any) string {
	t.Helper()
	all := map[string]any{"exp": now.Add(time.Hour).Unix()}
	for name, value := range claims {
		all[name] = value
		if value == nil {
			delete(all, name)
		}
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: with}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return must(jwt.Signed(signer).Claims(all).Serialize())
}

func TestMintAndVerify(t *testing.T) {
	keys := trust(t, "", secret)
	for _, want := range []Grant{
		{},
		{UID: "cam1"},
		{UIDPrefix: "viewer-", Room: "lab", Role: signalling.RoleViewer},
	} {
		want.Expiry = now.Add(time.Hour)
		minted, err := Mint(secret, "", want)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := keys.Verify(minted, now); err != nil || got != want {
			t.Errorf("got %+v, %v; want %+v", got, err, want)
		}
		if _, err := trust(t, "", other).Verify(minted, now); !errors.Is(err, ErrUntrusted) {
			t.Errorf("with another secret: %v, want ErrUntrusted", err)
		}
	}
}

func TestTimes(t *testing.T) {
	keys := trust(t, "", secret)
	for _, c := range []struct {
		claims map[string]any
		want   error
	}{
		{map[string]any{"exp": nil}, ErrClaims},
		{map[string]any{"exp": "soon"}, ErrClaims},
		{map[string]any{"exp": now.Unix()}, nil},
		{map[string]any{"exp": now.Add(-Leeway).Unix()}, nil},
		{map[string]any{"exp": now.Add(-Leeway - time.Second).Unix()}, ErrExpired},
		{map[string]any{"exp": 0}, ErrExpired},
		{map[string]any{"exp": -1}, ErrExpired},
		{map[string]any{"exp": 1e18}, nil},
		{map[string]any{"nbf": now.Add(Leeway).Unix()}, nil},
		{map[string]any{"nbf": now.Add(Leeway + time.Second).Unix()}, ErrNotYetValid},
		{map[string]any{"iat": now.Add(time.Hour).Unix()}, ErrNotYetValid},
	} {
		if _, err := keys.Verify(sign(t, jose.HS256, secret, c.claims), now); !errors.Is(err, c.want) {
			t.Errorf("%v: %v, want %v", c.claims, err, c.want)
		}
	}
}

func TestClaims(t *testing.T) {
	keys := trust(t, "", secret)
	for _, c := range []struct {
		claims map[string]any
		want   error
	}{
		{map[string]any{"room": ""}, ErrClaims},
		{map[string]any{"uid": ""}, ErrClaims},
		{map[string]any{"uid_prefix": ""}, ErrClaims},
		{map[string]any{"uid": 7}, ErrClaims},
		{map[string]any{"room": []string{"lab"}}, ErrClaims},
		{map[string]any{"role": "admin"}, ErrClaims},
		{map[string]any{"role": ""}, ErrClaims},
		{map[string]any{"role": "peer"}, nil},
		{map[string]any{"role": "viewer"}, nil},
		{map[string]any{"sub": "someone", "more": 1}, nil},
		{map[string]any{"aud": "else"}, nil}, // no audience asked for
	} {
		if _, err := keys.Verify(sign(t, jose.HS256, secret, c.claims), now); !errors.Is(err, c.want) {
			t.Errorf("%v: %v, want %v", c.claims, err, c.want)
		}
	}
}

func TestAudience(t *testing.T) {
	keys := trust(t, "", secret)
	keys.Audience = "relay"
	for _, c := range []struct {
		audience any
		want     error
	}{{nil, ErrAudience}, {"else", ErrAudience}, {"relay", nil}, {[]string{"else", "relay"}, nil}} {
		if _, err := keys.Verify(sign(t, jose.HS256, secret, map[string]any{"aud": c.audience}), now); !errors.Is(err, c.want) {
			t.Errorf("audience %v: %v, want %v", c.audience, err, c.want)
		}
	}
	minted := must(Mint(secret, "relay", Grant{Expiry: now}))
	if _, err := keys.Verify(minted, now); err != nil {
		t.Errorf("minted for the audience: %v", err)
	}
}

func TestAlgorithms(t *testing.T) {
	document := set(
		jose.JSONWebKey{Key: &rsaKey.PublicKey, KeyID: "r", Algorithm: "RS256", Use: "sig"},
		jose.JSONWebKey{Key: &ecKey.PublicKey, KeyID: "e"},
		jose.JSONWebKey{Key: &foreign.PublicKey, KeyID: "encryption", Use: "enc"},
		jose.JSONWebKey{Key: &ec384.PublicKey},
	)
	keys := trust(t, document, secret)
	modulus := rsaKey.N.Bytes()
	header := func(h string) string { return base64.RawURLEncoding.EncodeToString([]byte(h)) }
	payload := header(`{"exp":1900000000}`)
	kid := func(id string, k any) jose.JSONWebKey { return jose.JSONWebKey{Key: k, KeyID: id} }
	for _, c := range []struct {
		name, token string
		want        error
	}{
		{"HS256", sign(t, jose.HS256, secret, nil), nil},
		{"RS256", sign(t, jose.RS256, rsaKey, nil), nil},
		{"RS256 by kid", sign(t, jose.RS256, kid("r", rsaKey), nil), nil},
		{"RS256 by a wrong kid", sign(t, jose.RS256, kid("e", rsaKey), nil), ErrUntrusted},
		{"ES256", sign(t, jose.ES256, ecKey, nil), nil},
		{"ES256 by another key", sign(t, jose.ES256, foreign, nil), ErrUntrusted},
		{"ES384", sign(t, jose.ES384, ec384, nil), ErrMalformed},
		{"RS512", sign(t, jose.RS512, rsaKey, nil), ErrMalformed},
		{"PS256", sign(t, jose.PS256, rsaKey, nil), ErrMalformed},
		{"HS512", sign(t, jose.HS512, append(secret, secret...), nil), ErrMalformed},
		{"HS256 with the public key as the secret", sign(t, jose.HS256, modulus, nil), ErrUntrusted},
		{"none", header(`{"alg":"none"}`) + "." + payload + ".", ErrMalformed},
		{"None", header(`{"alg":"None"}`) + "." + payload + ".", ErrMalformed},
		{"no algorithm", header(`{}`) + "." + payload + ".AAAA", ErrMalformed},
		{"no signature", header(`{"alg":"HS256"}`) + "." + payload + ".", ErrUntrusted},
		{"an unknown critical header", header(`{"alg":"HS256","crit":["x"],"x":1}`) + "." + payload + ".AAAA", ErrUntrusted},
		{"two parts", header(`{"alg":"HS256"}`) + "." + payload, ErrMalformed},
		{"nothing", "", ErrMalformed},
		{"text", "letmein", ErrMalformed},
		{"too long", sign(t, jose.HS256, secret, map[string]any{"more": strings.Repeat("x", maxToken)}), ErrMalformed},
	} {
		if _, err := keys.Verify(c.token, now); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	altered := strings.Split(sign(t, jose.HS256, secret, map[string]any{"room": "lab"}), ".")
	altered[1] = header(`{"exp":1900000000,"room":"other"}`)
	if _, err := keys.Verify(strings.Join(altered, "."), now); !errors.Is(err, ErrUntrusted) {
		t.Errorf("altered claims: %v, want ErrUntrusted", err)
	}
}

func TestUnusableKeys(t *testing.T) {
	small := must(rsa.GenerateKey(rand.Reader, 1024))
	for _, c := range []struct{ name, document, says string }{
		{"not JSON", "secret", "JSON Web Key Set"},
		{"without keys", "{}", "JSON Web Key Set"},
		{"private", set(jose.JSONWebKey{Key: ecKey}), "key 1 of the set: it is secret"},
		{"shared", set(jose.JSONWebKey{Key: secret}), "key 1 of the set: it is secret"},
		{"of a confused kind", set(jose.JSONWebKey{Key: &ecKey.PublicKey, Algorithm: "RS256"}), "does not fit"},
		{"small", set(jose.JSONWebKey{Key: &small.PublicKey}), "1024 bits"},
		{"broken", `{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}]}`, "key 1 of the set"},
	} {
		_, err := new(Keys).SetJWKS([]byte(c.document))
		if !errors.Is(err, ErrKey) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("a set that is %s: %v, want ErrKey and %q", c.name, err, c.says)
		}
	}
	for _, document := range []string{
		`{"keys":[]}`,
		set(jose.JSONWebKey{Key: &ec384.PublicKey}),
		set(jose.JSONWebKey{Key: &rsaKey.PublicKey, Algorithm: "PS256"}),
	} {
		k := trust(t, set(jose.JSONWebKey{Key: &ecKey.PublicKey}))
		minted := sign(t, jose.ES256, ecKey, nil)
		if _, err := k.Verify(minted, now); err != nil {
			t.Errorf("before %s: %v", document, err)
		}
		if usable, err := k.SetJWKS([]byte(document)); usable != 0 || err != nil {
			t.Errorf("%s: %d keys, %v; want none", document, usable, err)
		}
		if _, err := k.Verify(minted, now); err == nil {
			t.Errorf("%s: a token of a key that is gone is trusted", document)
		}
	}
	if err := new(Keys).AddSecret(secret[:31]); !errors.Is(err, ErrKey) {
		t.Errorf("a short secret: %v, want ErrKey", err)
	}
	if _, err := Mint(secret[:31], "", Grant{}); !errors.Is(err, ErrKey) {
		t.Errorf("minting with a short secret: %v, want ErrKey", err)
	}
}

func TestGrant(t *testing.T) {
	exact := Grant{UID: "cam1", Room: "lab", Role: signalling.RoleViewer}
	prefix := Grant{UIDPrefix: "cam"}
	free := Grant{}
	var none *Grant
	for _, c := range []struct {
		name      string
		got, want bool
	}{
		{"its uid", exact.AllowsUID("cam1"), true},
		{"another uid", exact.AllowsUID("cam12"), false},
		{"a uid with the prefix", prefix.AllowsUID("cam7"), true},
		{"one without", prefix.AllowsUID("a-cam"), false},
		{"any uid", free.AllowsUID("x"), true},
		{"its room", exact.AllowsRoom("lab"), true},
		{"another room", exact.AllowsRoom("Lab"), false},
		{"any room", prefix.AllowsRoom("lab"), true},
		{"sessions beside a room", exact.AllowsSessions(), false},
		{"sessions", prefix.AllowsSessions(), true},
		{"a viewer's role", exact.AllowsRole(signalling.RoleViewer), true},
		{"a peer's role for a viewer", exact.AllowsRole(""), false},
		{"any uid without a grant", none.AllowsUID("x"), true},
		{"any room without a grant", none.AllowsRoom("x"), true},
		{"sessions without a grant", none.AllowsSessions(), true},
		{"any role without a grant", none.AllowsRole(""), true},
		{"any role", free.AllowsRole(signalling.RoleViewer), true},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, want %v", c.name, c.got, c.want)
		}
	}
}

func FuzzVerify(f *testing.F) {
	keys := new(Keys)
	if err := keys.AddSecret(secret); err != nil {
		f.Fatal(err)
	}
	want := Grant{Room: "lab", Expiry: now.Add(time.Hour)}
	f.Add(must(Mint(secret, "", want)))
	f.Add("..")
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Fuzz(func(t *testing.T, token string) {
		// Base64 has several spellings of the same bytes, so the token may differ.
		if got, err := keys.Verify(token, now); err == nil && got != want {
			t.Errorf("accepted %q for %+v", token, got)
		}
	})
}
