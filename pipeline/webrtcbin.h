/* The life of a webrtcbin: one pipeline per remote peer, with what feeds it and
 * what it feeds.
 *
 * All of it can be called from any thread, but for one peer from one thread at
 * a time; only webrtc_feed_push may run beside the others. What GStreamer has
 * to say comes from threads of its own through the functions that webrtcbin.go
 * exports: each copies and posts, and never blocks. */
#pragma once

#include <stdint.h>
#include <gst/gst.h>

typedef struct WebrtcPeer WebrtcPeer;

/* What every peer of a process has in common. */
typedef struct
{
  GstClock *clock;
  GstClockTime base_time;
  gboolean loopback;            /* gather no address but this machine's own */
  gboolean relay_only;          /* of ICE candidates */
  gboolean tcp;                 /* to TURN servers */
  unsigned min_port, max_port;  /* of UDP; 0 is any */
  unsigned latency;             /* of the receiving jitter buffers, in ms */
  const char *stun_server;      /* stun://host:port, or NULL */
  const char *const *turn_servers;      /* turn://user:password@host:port …, NULL at the end */
} WebrtcSettings;

/* GstWebRTCSDPType and GstWebRTCRTPTransceiverDirection, see webrtcbin.c. */
enum { WEBRTC_SDP_OFFER = 1, WEBRTC_SDP_ANSWER = 3 };
enum { WEBRTC_INACTIVE = 1, WEBRTC_SENDRECV = 4 };
enum { WEBRTC_ICE_RELAY = 1 };   /* GstWebRTCICETransportPolicy */
enum { WEBRTC_GATHERED = 2 };    /* GstWebRTCICEGatheringState */
enum { WEBRTC_ICE_CONNECTED = 2, WEBRTC_ICE_COMPLETED = 3 };    /* GstWebRTCICEConnectionState */

WebrtcPeer *webrtc_peer_new (uintptr_t handle, const WebrtcSettings *settings);
gboolean webrtc_peer_play (WebrtcPeer *peer);
void webrtc_peer_stop (WebrtcPeer *peer);
void webrtc_peer_free (WebrtcPeer *peer);

void webrtc_peer_add_transceiver (WebrtcPeer *peer, int direction,
    const char *caps, gboolean nack);
void webrtc_peer_create (WebrtcPeer *peer, int type, uintptr_t reply);
gboolean webrtc_peer_set (WebrtcPeer *peer, gboolean local, int type,
    const char *sdp, uintptr_t reply);
char *webrtc_peer_remote_certificate (WebrtcPeer *peer);
void webrtc_peer_stats (WebrtcPeer *peer, uintptr_t reply);
void webrtc_peer_add_candidate (WebrtcPeer *peer, unsigned mline,
    const char *candidate);

GstElement *webrtc_peer_feed (WebrtcPeer *peer, unsigned mline,
    const char *launch, char **error);
gboolean webrtc_feed_push (GstElement *appsrc, const void *payload, size_t size,
    GstClockTime pts, GstClockTime duration, gboolean keyframe);

void webrtc_peer_accept_nothing (WebrtcPeer *peer);
void webrtc_peer_accept (WebrtcPeer *peer, unsigned payload, const char *depay);
void webrtc_peer_accept_ssrc (WebrtcPeer *peer, uint32_t ssrc);
void webrtc_peer_accept_any_ssrc (WebrtcPeer *peer);
void webrtc_peer_want_keyframe (WebrtcPeer *peer, uint32_t ssrc);

gboolean webrtc_peer_open_channel (WebrtcPeer *peer, const char *label);
gboolean webrtc_peer_send_text (WebrtcPeer *peer, const char *text);

gboolean webrtc_force_keyframe (GstElement *sink);
int webrtc_peers_alive (void);
