package pipeline

import (
	"testing"

	"github.com/pion/sdp/v3"
)

func TestFingerprints(t *testing.T) {
	certificate := []byte("abc") // whose hashes are those of FIPS 180
	const (
		sha1   = "A9:99:3E:36:47:06:81:6A:BA:3E:25:71:78:50:C2:6C:9C:D0:D8:9D"
		sha256 = "ba:78:16:bf:8f:01:cf:ea:41:41:40:de:5d:ae:22:23:b0:03:61:a3:96:17:7a:9c:b4:10:ff:61:f2:00:15:ad"
	)
	for value, want := range map[string]bool{
		"sha-256 " + sha256:                 true,
		"SHA-256 " + sha256:                 true,
		"sha-1 " + sha1:                     true,
		"sha-1 " + sha256:                   false,
		"md5 " + sha1:                       false,
		"sha-256 ":                          false,
		"sha-256":                           false,
		"":                                  false,
		"sha-256 " + sha256[:len(sha256)-3]: false,
	} {
		atSession := &sdp.SessionDescription{Attributes: []sdp.Attribute{sdp.NewAttribute("fingerprint", value)}}
		atMedia := &sdp.SessionDescription{MediaDescriptions: []*sdp.MediaDescription{
			{Attributes: []sdp.Attribute{sdp.NewAttribute("fingerprint", "sha-256 00")}},
			{Attributes: []sdp.Attribute{sdp.NewAttribute("fingerprint", value)}},
		}}
		if matches(certificate, atSession) != want || matches(certificate, atMedia) != want {
			t.Errorf("%q: want %t", value, want)
		}
	}
	if _, err := decodeCertificate(""); err == nil {
		t.Error("no certificate is one")
	}
}
