package main

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/gstpeer/gstpeer/internal/reload"
	"github.com/gstpeer/gstpeer/server/token"
)

// secretFlags are what who makes tokens and who checks them have in common.
type secretFlags struct {
	AuthSecret     string `placeholder:"SECRET" help:"Secret of 32 bytes or more that signs tokens with HS256. Other users of the machine can read a command line: better use the variable or the file."`
	AuthSecretFile string `placeholder:"FILE" help:"File with that secret; a line break at its end does not count."`
	AuthAudience   string `placeholder:"NAME" help:"What the aud claim of a token has to name. Wanted where --auth-jwks is that of an identity provider which serves others too."`
}

func (f *secretFlags) secret() ([]byte, error) {
	return readSecret("auth-secret", f.AuthSecret, f.AuthSecretFile)
}

// readSecret takes a secret from where the flags say; nil without either.
func readSecret(flag, value, file string) ([]byte, error) {
	switch {
	case value != "" && file != "":
		return nil, fmt.Errorf("--%[1]s and --%[1]s-file exclude each other", flag)
	case file == "":
		return []byte(value), nil
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("--%s-file: %w", flag, err)
	}
	secret := bytes.TrimRight(content, "\r\n")
	if len(secret) == 0 {
		return nil, fmt.Errorf("--%s-file: %s is empty", flag, file)
	}
	return secret, nil
}

// authFlags say who may use the relay.
type authFlags struct {
	secretFlags
	AuthJWKS        string `name:"auth-jwks" placeholder:"FILE" help:"JSON Web Key Set with the public keys that tokens may be signed with, by RS256 or ES256. A changed file comes into use within seconds, for the peers that come from then on; one that cannot be used changes nothing, and is an error in the log. To trust none of the keys any more, leave {\"keys\":[]}."`
	AuthKeepExpired bool   `help:"Leave a peer registered whose token ends. Without it that is closed with 1008 \"token expired\"."`
}

// keys are those that tokens are checked with; nil when none are asked for. The
// file of those that may change, if any, is to be followed.
func (f *authFlags) keys(log *slog.Logger) (*token.Keys, *reload.Files, error) {
	secret, err := f.secret()
	if err != nil {
		return nil, nil, err
	}
	if len(secret) == 0 && f.AuthJWKS == "" {
		if f.AuthAudience != "" || f.AuthKeepExpired {
			return nil, nil, errors.New("--auth-audience and --auth-keep-expired want --auth-secret or --auth-jwks")
		}
		return nil, nil, nil
	}
	keys := &token.Keys{Audience: f.AuthAudience}
	if len(secret) > 0 {
		if err := keys.AddSecret(secret); err != nil {
			return nil, nil, fmt.Errorf("--auth-secret: %w", err)
		}
	}
	if f.AuthJWKS == "" {
		return keys, nil, nil
	}
	usable := 0
	file, err := reload.Open(log, func(contents [][]byte) (err error) {
		if usable, err = keys.SetJWKS(contents[0]); err == nil {
			log.Info("token keys in use", "file", f.AuthJWKS, "keys", usable)
		}
		return err
	}, f.AuthJWKS)
	if err == nil && usable == 0 {
		err = errors.New("it has no RSA or P-256 key for RS256 or ES256 signatures")
	}
	if err != nil {
		return nil, nil, fmt.Errorf("--auth-jwks: %s: %w", f.AuthJWKS, err)
	}
	return keys, file, nil
}
