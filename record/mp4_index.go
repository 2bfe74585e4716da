package record

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	amp4 "github.com/abema/go-mp4"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4/seekablebuffer"
)

const (
	// sizeOfMehd is that of a box with the duration of all fragments, and of the
	// free one that has its place until that is known.
	sizeOfMehd = 4 + 4 + 4 + 8
	boxHeader  = 4 + 4
	movieScale = 1000 // ticks per second of fmp4's mvhd
)

// reserveMehd makes room for a mehd in the head of a file, and says where.
func reserveMehd(head []byte) ([]byte, int64, error) {
	moov := findBox(head, 0, "moov")
	if moov < 0 {
		return nil, 0, fmt.Errorf("%w: head of an MP4 file: no moov in it", ErrWrite)
	}
	mvex := findBox(head, moov+boxHeader, "mvex")
	if mvex < 0 {
		return nil, 0, fmt.Errorf("%w: head of an MP4 file: no mvex in it", ErrWrite)
	}
	room := make([]byte, sizeOfMehd)
	binary.BigEndian.PutUint32(room, sizeOfMehd)
	copy(room[4:], "free")
	at := mvex + boxHeader
	wider := slices.Insert(head, at, room...)
	for _, parent := range []int{moov, mvex} {
		size := binary.BigEndian.Uint32(wider[parent:])
		binary.BigEndian.PutUint32(wider[parent:], size+sizeOfMehd)
	}
	return wider, int64(at), nil
}

// findBox gives the offset of a box among those that begin at an offset, -1 if it
// is not there.
func findBox(b []byte, at int, name string) int {
	for at+boxHeader <= len(b) {
		if string(b[at+4:at+boxHeader]) == name {
			return at
		}
		at += max(boxHeader, int(binary.BigEndian.Uint32(b[at:])))
	}
	return -1
}

// mehd is the duration of all fragments.
func mehd(length time.Duration) []byte {
	b := binary.BigEndian.AppendUint32(nil, sizeOfMehd)
	b = append(b, "mehd\x01\x00\x00\x00"...)
	return binary.BigEndian.AppendUint64(b, ticks(length, movieScale))
}

// mfra says where a player may begin in each track.
func mfra(tracks []*mp4Track) ([]byte, error) {
	var b seekablebuffer.Buffer
	w := amp4.NewWriter(&b)
	if _, err := w.StartBox(&amp4.BoxInfo{Type: amp4.BoxTypeMfra()}); err != nil {
		return nil, err
	}
	for i, t := range tracks {
		if len(t.cues.cues) == 0 {
			continue
		}
		if err := writeBox(w, tfra(i+1, t)); err != nil {
			return nil, err
		}
	}
	size := uint32(b.Len()) + sizeOfMfro
	if err := writeBox(w, &amp4.Mfro{Size: size}); err != nil {
		return nil, err
	}
	_, err := w.EndBox()
	return b.Bytes(), err
}

// sizeOfMfro is that of the last box, from which players go back to the mfra.
const sizeOfMfro = 4 + 4 + 4 + 4

func tfra(id int, t *mp4Track) *amp4.Tfra {
	box := &amp4.Tfra{FullBox: amp4.FullBox{Version: 1}, TrackID: uint32(id), NumberOfEntry: uint32(len(t.cues.cues))}
	for _, c := range t.cues.cues {
		box.Entries = append(box.Entries, amp4.TfraEntry{
			TimeV1:       ticks(c.at, t.scale),
			MoofOffsetV1: uint64(c.position),
			TrafNumber:   uint32(c.number),
			TrunNumber:   1,
			SampleNumber: 1,
		})
	}
	return box
}

func writeBox(w *amp4.Writer, box amp4.IImmutableBox) error {
	if _, err := w.StartBox(&amp4.BoxInfo{Type: box.GetType()}); err != nil {
		return err
	}
	if _, err := amp4.Marshal(w, box, amp4.Context{}); err != nil {
		return err
	}
	_, err := w.EndBox()
	return err
}
