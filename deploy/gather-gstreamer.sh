#!/bin/sh
# gather-gstreamer.sh ROOT copies gstpeer into ROOT, with what it uses of the
# installed GStreamer: the plugins named below, and the libraries that all of them
# are linked to, those of the base image excepted. /base-libraries lists those.
set -eu
root=$1

plugins='
	app coreelements debug playback typefindfunctions
	videotestsrc audiotestsrc pango
	video4linux2 ximagesrc alsa pulseaudio rtsp udp tcp
	videoconvertscale videorate audioconvert audioresample
	jpeg vpx x264 openh264 opus libav
	videoparsersbad audioparsers opusparse alaw mulaw vorbis theora
	matroska isomp4 mpegtsdemux ogg avi flv wavparse
	rtp rtpmanager webrtc nice dtls srtp sctp
'

system=$(dirname "$(find /usr/lib -name libgstcoreelements.so)") # …/gstreamer-1.0
libraries=$(dirname "$system")

cp /stubs/*.so.* "$(realpath "$libraries")/"

# put copies a file, links followed, to the place that it has here; of a library
# it leaves out what the base image has.
put() {
	place=$(realpath "$(dirname "$1")")
	mkdir -p "$root$place"
	cp -Lp "$1" "$root$place/"
}

in_base() {
	grep -qxF "$(realpath "$1")" /base-libraries
}

files=/usr/bin/gstpeer
for plugin in $plugins; do
	files="$files $system/libgst$plugin.so"
done
# Opened at run time: libsrtp's cryptography, TLS for rtsps://, and what GStreamer
# looks for new plugins with.
for file in "$libraries"/libsoftokn3.so "$libraries"/libfreebl3.so "$libraries"/libfreeblpriv3.so "$libraries"/libnssckbi.so \
	"$libraries"/gio/modules/libgiognutls.so "$libraries"/gstreamer1.0/gstreamer-1.0/gst-plugin-scanner; do
	[ ! -e "$file" ] || files="$files $file"
done

# shellcheck disable=SC2086 # one word a file
ldd $files >/tmp/linked
if grep 'not found' /tmp/linked; then
	exit 1
fi
for file in $files; do
	put "$file"
done
sed -n 's/.*=> \(\/[^ ]*\) .*/\1/p' /tmp/linked | sort -u | while read -r library; do
	in_base "$library" || put "$library"
done

# What is not code: authorities, fonts, the settings of ALSA.
for place in /etc/ssl/certs/ca-certificates.crt /etc/fonts /usr/share/fonts /usr/share/fontconfig /usr/share/alsa /etc/alsa; do
	[ ! -e "$place" ] || cp -a --parents "$place" "$root"
done
