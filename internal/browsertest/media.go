package browsertest

import "fmt"

// Inbound is what getStats says about one kind of media that comes in.
type Inbound struct {
	SSRC             uint32  `json:"ssrc"`
	PacketsLost      int     `json:"packetsLost"`
	FramesDecoded    int     `json:"framesDecoded"`
	FrameWidth       int     `json:"frameWidth"`
	FrameHeight      int     `json:"frameHeight"`
	TotalAudioEnergy float64 `json:"totalAudioEnergy"`
	MimeType         string  `json:"mimeType"` // of its codec
}

// inbound is an expression for an Inbound, {} if there is none.
func inbound(uid, kind string) string {
	return fmt.Sprintf(`(async () => {
		const peer = gstpeer.peers().find(({uid}) => uid === %q);
		const stats = (await peer?.stats()) ?? [];
		const inbound = stats.find(({type, kind}) => type === 'inbound-rtp' && kind === %q);
		return {...inbound, mimeType: stats.find(({id}) => id === inbound?.codecId)?.mimeType ?? ''};
	})()`, uid, kind)
}

// Inbound tells about the media that the page gets from a peer of its room, by
// kind: "video" or "audio". It is the zero value when there is none.
func (b *Tab) Inbound(uid, kind string) Inbound {
	b.t.Helper()
	return Evaluate[Inbound](b, inbound(uid, kind))
}

// AwaitFrames waits until more frames of a peer have been decoded, and tells
// about them.
func (b *Tab) AwaitFrames(uid string, more int) Inbound {
	b.t.Helper()
	enough := b.Inbound(uid, "video").FramesDecoded + more
	b.Eventually(inbound(uid, "video") + fmt.Sprintf(`.then(({framesDecoded}) => framesDecoded >= %d)`, enough))
	return b.Inbound(uid, "video")
}

// AwaitSound turns the sound on, as a user would, waits until some of a peer's
// has been played, and tells about it.
func (b *Tab) AwaitSound(uid string) Inbound {
	b.t.Helper()
	b.Eventually(fmt.Sprintf(`(() => {
		const tile = document.querySelector('[data-uid=%q]');
		const video = tile?.querySelector('video');
		return tile?.dataset.sound === 'refused' || (video?.currentTime > 0 && !video.muted);
	})()`, uid))
	if Evaluate[bool](b, `!document.querySelector('#sound').hidden`) {
		b.Click("#sound")
	}
	before := b.Inbound(uid, "audio").TotalAudioEnergy
	b.Eventually(inbound(uid, "audio") + fmt.Sprintf(`.then(({totalAudioEnergy}) => totalAudioEnergy > %g)`, before))
	return b.Inbound(uid, "audio")
}

// AwaitSilence waits until a peer's sound has come in for a moment and been silent, in
// which a fake microphone would have beeped.
func (b *Tab) AwaitSilence(uid string) {
	b.t.Helper()
	b.Eventually(fmt.Sprintf(`(async () => {
		const audio = () => %s;
		const before = await audio();
		await new Promise((done) => setTimeout(done, 1500));
		const after = await audio();
		return after.packetsReceived > before.packetsReceived && after.totalAudioEnergy - before.totalAudioEnergy < 1e-6;
	})()`, inbound(uid, "audio")))
}

// How bright a picture is, on average: a slate is dark, and a camera's must be
// brighter for its loss to be seen.
const (
	slateOrDarker     = 30
	pictureOrBrighter = 40
)

// brightness is an expression for the mean of what the page shows of a sender, -1
// before the first picture.
func brightness(uid string) string {
	return fmt.Sprintf(`(() => {
		const canvas = new OffscreenCanvas(64, 36), context = canvas.getContext('2d');
		const video = document.querySelector('[data-uid=%q] video');
		if (!video?.videoWidth) return -1;
		context.drawImage(video, 0, 0, 64, 36);
		const {data} = context.getImageData(0, 0, 64, 36);
		return data.reduce((sum, value) => sum + value, 0) / data.length - 255 / 4; // without the alpha
	})()`, uid)
}

// AwaitPicture waits until the page shows a peer's picture, which is not a slate.
func (b *Tab) AwaitPicture(uid string) {
	b.t.Helper()
	b.Eventually(fmt.Sprintf("%s > %d", brightness(uid), pictureOrBrighter))
}

// AwaitSlate waits until the page shows a slate in the place of a peer's picture.
func (b *Tab) AwaitSlate(uid string) {
	b.t.Helper()
	b.Eventually(fmt.Sprintf("(brightness => brightness >= 0 && brightness < %d)(%s)", slateOrDarker, brightness(uid)))
}
