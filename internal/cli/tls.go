package cli

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/gstpeer/gstpeer/server/certificate"
)

// TLSFlags are the flags of a relay that speaks TLS, to be embedded.
type TLSFlags struct {
	TLSCert       string `name:"tls-cert" placeholder:"FILE" help:"PEM file of the certificate, with its chain, to serve with TLS. A changed file comes into use within seconds, and drops no connection."`
	TLSKey        string `name:"tls-key" placeholder:"FILE" help:"PEM file of the certificate's private key."`
	TLSSelfSigned bool   `name:"tls-self-signed" help:"Serve with TLS and a certificate of our own making, for a network without names. Browsers ask once whether to trust it; compare the SHA-256 fingerprint that is printed at the start."`
	StateDir      string `placeholder:"DIR" help:"Folder for certificates that are to last. Default: $XDG_STATE_HOME/gstpeer, or ~/.local/state/gstpeer."`
}

// Check finds flags that do not go together.
func (f *TLSFlags) Check() error {
	switch {
	case (f.TLSCert == "") != (f.TLSKey == ""):
		return errors.New("--tls-cert and --tls-key want each other: the certificate's file and its key's")
	case f.TLSCert != "" && f.TLSSelfSigned:
		return errors.New("--tls-self-signed and --tls-cert exclude each other: choose one certificate")
	}
	return nil
}

// Given says whether the flags ask for TLS.
func (f *TLSFlags) Given() bool { return f.TLSCert != "" || f.TLSSelfSigned }

// Source is the certificate that the flags ask for; nil without TLS. The leaf is
// that of a self-signed certificate, to be shown to the user.
func (f *TLSFlags) Source(log *slog.Logger) (source *certificate.Source, selfSigned *tls.Certificate, err error) {
	switch {
	case f.TLSCert != "":
		source, err = certificate.Files(f.TLSCert, f.TLSKey, log)
		if err != nil {
			err = fmt.Errorf("--tls-cert and --tls-key: %w", err)
		}
	case f.TLSSelfSigned:
		dir, err := f.State()
		if err != nil {
			return nil, nil, err
		}
		source, selfSigned, err = certificate.SelfSigned(dir, log)
		if err != nil {
			return nil, nil, fmt.Errorf("%w: choose another folder with --state-dir", err)
		}
	}
	return source, selfSigned, err
}

// State is the folder for what is to last.
func (f *TLSFlags) State() (string, error) {
	if f.StateDir != "" {
		return f.StateDir, nil
	}
	if state := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(state) {
		return filepath.Join(state, "gstpeer"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("no folder for certificates: name one with --state-dir: %w", err)
	}
	return filepath.Join(home, ".local", "state", "gstpeer"), nil
}
