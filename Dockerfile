# Two images of one file:
#   docker build -t gstpeer .                          the peer, with GStreamer
#   docker build -t gstpeer-server --target server .   the relay alone, static
# docs/containers.md says how to run them. Of the base images golang is named to the
# patch, and is made anew under that name when its Debian is; debian is named to the
# day, and changes only here. For newer ones, take the newest tags of this form that
# their pages on Docker Hub list.

# As in internal/version.
ARG VERSION=0.1.0-dev

FROM golang:1.26.8-bookworm AS go
WORKDIR /src
ENV GOFLAGS="-trimpath -buildvcs=false"

FROM go AS build-server
# What others have written takes the longest, and comes first: a change of our own
# does not build it again.
RUN CGO_ENABLED=0 go build net/http
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG COMMIT=unknown
RUN CGO_ENABLED=0 go build -ldflags "-s -w -X github.com/gstpeer/gstpeer/internal/version.commit=$COMMIT" -o /root-of-image/usr/bin/ ./cmd/gstpeer-server \
	&& mkdir -p /root-of-image/etc/ssl/certs /root-of-image/var/lib/gstpeer \
	&& cp /etc/ssl/certs/ca-certificates.crt /root-of-image/etc/ssl/certs/ \
	&& echo 'gstpeer:x:65532:65532::/var/lib/gstpeer:/usr/sbin/nologin' >/root-of-image/etc/passwd \
	&& echo 'gstpeer:x:65532:' >/root-of-image/etc/group \
	&& chown 65532:65532 /root-of-image/var/lib/gstpeer

FROM scratch AS server
COPY --from=build-server /root-of-image /
ENV GSTPEER_SERVER_LISTEN=:8443 GSTPEER_SERVER_STATE_DIR=/var/lib/gstpeer
USER 65532:65532
EXPOSE 8443
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["/usr/bin/gstpeer-server", "health"]
ENTRYPOINT ["/usr/bin/gstpeer-server"]
ARG VERSION
ARG COMMIT=unknown
LABEL org.opencontainers.image.title="gstpeer-server" \
	org.opencontainers.image.description="Signalling relay for WebRTC peers, with a web page for browsers" \
	org.opencontainers.image.source="https://github.com/gstpeer/gstpeer" \
	org.opencontainers.image.licenses="Apache-2.0" \
	org.opencontainers.image.version="$VERSION" \
	org.opencontainers.image.revision="$COMMIT"

FROM go AS build-peer
RUN apt-get update -q \
	&& apt-get install -qy --no-install-recommends gcc libc6-dev pkg-config libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev
COPY deploy/libav-stubs.c /stubs/
RUN cd /stubs \
	&& echo 'LIBAVFORMAT_59 { *; };' >format && gcc -shared -fPIC -O2 -DFORMAT -Wl,-soname,libavformat.so.59,--version-script,format -o libavformat.so.59 libav-stubs.c \
	&& echo 'LIBAVFILTER_8 { *; };' >filter && gcc -shared -fPIC -O2 -Wl,-soname,libavfilter.so.8,--version-script,filter -o libavfilter.so.8 libav-stubs.c
COPY go.mod go.sum ./
RUN go mod download
# The bindings take minutes.
RUN go build github.com/go-gst/go-gst/gst/app
COPY . .
ARG COMMIT=unknown
RUN go build -ldflags "-s -w -X github.com/gstpeer/gstpeer/internal/version.commit=$COMMIT" -o /usr/bin/ ./cmd/gstpeer

FROM debian:bookworm-20261005-slim AS gstreamer
RUN find /usr/lib -name '*.so*' >/base-libraries \
	&& apt-get update -q \
	&& DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends ca-certificates fonts-dejavu-core \
		gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly \
		gstreamer1.0-libav gstreamer1.0-nice gstreamer1.0-x gstreamer1.0-alsa
COPY deploy/gather-gstreamer.sh /
COPY --from=build-peer /stubs/*.so.* /stubs/
COPY --from=build-peer /usr/bin/gstpeer /usr/bin/
RUN /gather-gstreamer.sh /root-of-image

FROM debian:bookworm-20261005-slim AS peer
COPY --from=gstreamer /root-of-image /
ENV GSTPEER_LISTEN=:8443 GSTPEER_METRICS=127.0.0.1:9091 GSTPEER_STATE_DIR=/var/lib/gstpeer \
	GST_REGISTRY=/usr/lib/gstpeer/registry.bin
# The lists of plugins and of fonts are made here, and it is seen that nothing is
# missing: the root is read-only later. Images keep times in whole seconds, and a
# list is now and then written for root alone.
RUN ldconfig \
	&& find /usr/share/fonts -type d -exec touch --date=@0 {} + \
	&& useradd --user-group --uid 65532 --no-create-home --home-dir /var/lib/gstpeer --shell /usr/sbin/nologin gstpeer \
	&& install -d -o gstpeer -g gstpeer /var/lib/gstpeer \
	&& gstpeer doctor \
	&& chmod -R a+rX /var/cache/fontconfig /usr/lib/gstpeer
USER 65532:65532
EXPOSE 8443
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["/usr/bin/gstpeer", "health"]
ENTRYPOINT ["/usr/bin/gstpeer"]
ARG VERSION
ARG COMMIT=unknown
LABEL org.opencontainers.image.title="gstpeer" \
	org.opencontainers.image.description="Puts any GStreamer source into browsers over WebRTC" \
	org.opencontainers.image.source="https://github.com/gstpeer/gstpeer" \
	org.opencontainers.image.licenses="Apache-2.0" \
	org.opencontainers.image.version="$VERSION" \
	org.opencontainers.image.revision="$COMMIT"
