package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/gstpeer/gstpeer/internal/cli"
	"github.com/gstpeer/gstpeer/internal/version"
)

// healthFlags are those of gstpeer-server health: where the one that is asked
// listens.
type healthFlags struct {
	Metrics       string   `placeholder:"HOST:PORT" help:"Its --metrics. Default: none."`
	Listen        string   `default:"127.0.0.1:8443" placeholder:"HOST:PORT" help:"Its --listen, which is asked if there is no --metrics. Default: ${default}."`
	TLSCert       string   `name:"tls-cert" placeholder:"FILE" help:"Its --tls-cert, if it has one; the file is not read."`
	TLSSelfSigned bool     `name:"tls-self-signed" help:"It serves with TLS."`
	ACME          []string `name:"acme" placeholder:"DOMAIN" help:"Its --acme, if it has one."`
}

// runHealth asks the relay of this machine, or container, whether it is healthy.
func runHealth(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var f healthFlags
	ok, err := cli.Parse(&f, "gstpeer-server health", "Asks the relay that runs here whether it is healthy; exit code 0 says that it is. "+
		"With the same variables in the environment it needs no flags.", "GSTPEER_SERVER", args, stdout, stderr)
	if !ok || err != nil {
		return err
	}
	asked := cli.Asked{Address: f.Metrics}
	if f.Metrics == "" {
		asked = cli.Asked{Address: f.Listen, TLS: f.TLSCert != "" || f.TLSSelfSigned || len(f.ACME) > 0}
		if len(f.ACME) > 0 {
			asked.Domain = f.ACME[0]
		}
	}
	return cli.Health(ctx, asked, stdout)
}

// runVersion says what this program is.
func runVersion(_ context.Context, args []string, stdout, _ io.Writer) error {
	if len(args) > 0 {
		return cli.UsageError{Err: errors.New("gstpeer-server version takes no arguments")}
	}
	_, err := fmt.Fprintln(stdout, version.Line("gstpeer-server"))
	return err
}
