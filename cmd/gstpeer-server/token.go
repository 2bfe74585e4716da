package main

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"time"

	"github.com/gstpeer/gstpeer/internal/cli"
	"github.com/gstpeer/gstpeer/server/token"
	"github.com/gstpeer/gstpeer/signalling"
)

// tokenFlags are those of `gstpeer-server token`.
type tokenFlags struct {
	Room      string        `placeholder:"NAME" help:"Room that may be joined; sessions are not allowed then. Default: any."`
	Role      string        `default:"viewer" enum:"viewer,peer" placeholder:"ROLE" help:"viewer, who only receives, or peer, who may be either. Default: ${default}."`
	UID       string        `name:"uid" placeholder:"UID" help:"Name that may be registered. Default: any."`
	UIDPrefix string        `name:"uid-prefix" placeholder:"TEXT" help:"What the name has to begin with. Default: nothing."`
	TTL       time.Duration `name:"ttl" default:"1h" placeholder:"DURATION" help:"How long the token is good for. Default: ${default}."`
	URL       string        `name:"url" default:"http://localhost:8443/" placeholder:"URL" help:"Address of the relay's page. Default: ${default}."`

	secretFlags
}

// runToken prints a token, and on the next line the page's address with it.
func runToken(args []string, stdout, stderr io.Writer) error {
	var f tokenFlags
	ok, err := cli.Parse(&f, "gstpeer-server token", "Makes a token for a relay with the same --auth-secret. Prints it, and the address of the page with it.",
		"GSTPEER_SERVER", args, stdout, stderr)
	if !ok || err != nil {
		return err
	}
	grant, err := f.grant(time.Now())
	if err != nil {
		return cli.UsageError{Err: err}
	}
	page, err := f.page()
	if err != nil {
		return cli.UsageError{Err: err}
	}
	minted, err := f.mint(grant)
	if err != nil {
		return cli.UsageError{Err: err}
	}
	query := page.Query()
	query.Set("token", minted)
	page.RawQuery = query.Encode()
	fmt.Fprintf(stdout, "%s\n%s\n", minted, page)
	return nil
}

func (f *tokenFlags) mint(grant token.Grant) (string, error) {
	secret, err := f.secret()
	switch {
	case err != nil:
		return "", err
	case len(secret) == 0:
		return "", errors.New("--auth-secret or --auth-secret-file is wanted, the one that the relay has")
	}
	return token.Mint(secret, f.AuthAudience, grant)
}

func (f *tokenFlags) grant(now time.Time) (token.Grant, error) {
	g := token.Grant{UID: f.UID, UIDPrefix: f.UIDPrefix, Room: f.Room, Expiry: now.Add(f.TTL)}
	if f.Role == string(signalling.RoleViewer) {
		g.Role = signalling.RoleViewer
	}
	switch {
	case f.TTL < time.Second:
		return g, fmt.Errorf("--ttl wants 1s or more, got %v", f.TTL)
	case f.UID != "" && f.UIDPrefix != "":
		return g, errors.New("--uid and --uid-prefix exclude each other")
	}
	var err error
	if f.Room != "" {
		err = errors.Join(err, signalling.CheckRoomID(f.Room))
	}
	if name := f.UID + f.UIDPrefix; name != "" {
		err = errors.Join(err, signalling.CheckUID(name))
	}
	return g, err
}

// page is the address of the room.
func (f *tokenFlags) page() (*url.URL, error) {
	page, err := url.Parse(f.URL)
	if err != nil || page.Scheme != "http" && page.Scheme != "https" || page.Host == "" {
		return nil, fmt.Errorf("--url wants http://host:port/ or https://host:port/, got %q", f.URL)
	}
	if page.Path == "" {
		page.Path = "/"
	}
	if f.Room != "" {
		query := page.Query()
		query.Set("room", f.Room)
		page.RawQuery = query.Encode()
	}
	return page, nil
}
