package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/gstpeer/gstpeer/internal/cli"
	"github.com/gstpeer/gstpeer/internal/version"
	"github.com/gstpeer/gstpeer/pipeline"
)

// healthFlags are those of gstpeer health: where the one that is asked listens.
type healthFlags struct {
	Metrics       string `placeholder:"HOST:PORT" help:"Its --metrics. Default: none."`
	Listen        string `placeholder:"HOST:PORT" help:"Its --listen, which is asked if there is no --metrics. Default: 127.0.0.1:8443."`
	Server        string `placeholder:"URL" help:"Its --server: it does not listen itself then, and --metrics is wanted. Default: none."`
	TLSCert       string `name:"tls-cert" placeholder:"FILE" help:"Its --tls-cert, if it has one; the file is not read."`
	TLSSelfSigned bool   `name:"tls-self-signed" help:"It serves with TLS."`
}

// runHealth asks the gstpeer of this machine, or container, whether it is healthy.
func runHealth(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var f healthFlags
	ok, err := cli.Parse(&f, "gstpeer health", "Asks the gstpeer that runs here whether it is healthy; exit code 0 says that it is. "+
		"With the same variables in the environment it needs no flags.", "GSTPEER", args, stdout, stderr)
	if !ok || err != nil {
		return err
	}
	asked := cli.Asked{Address: f.Metrics}
	if f.Metrics == "" {
		if f.Server != "" {
			return cli.UsageError{Err: errors.New("with --server, gstpeer listens only where --metrics says: give both that, such as 127.0.0.1:9091")}
		}
		asked = cli.Asked{Address: cmp.Or(f.Listen, defaultListen), TLS: f.TLSCert != "" || f.TLSSelfSigned}
	}
	return cli.Health(ctx, asked, stdout)
}

// runVersion says what this program is.
func runVersion(_ context.Context, args []string, stdout, _ io.Writer) error {
	if len(args) > 0 {
		return cli.UsageError{Err: errors.New("gstpeer version takes no arguments")}
	}
	_, err := fmt.Fprintf(stdout, "%s, %s\n", version.Line("gstpeer"), pipeline.GStreamerVersion())
	return err
}
