/* The life of a webrtcbin: one pipeline per remote peer, with what feeds it.
 *
 * All of it can be called from any thread, but for one peer from one thread at
 * a time; only webrtc_feed_push may run beside the others. What GStreamer has
 * to say comes from threads of its own through the functions that webrtcbin.go
 * exports: each copies and posts, and never blocks. */
#pragma once

#include <stdint.h>
#include <gst/gst.h>

typedef struct WebrtcPeer WebrtcPeer;

/* GstWebRTCSDPType and GstWebRTCRTPTransceiverDirection, see webrtcbin.c. */
enum { WEBRTC_SDP_OFFER = 1, WEBRTC_SDP_ANSWER = 3 };
enum { WEBRTC_INACTIVE = 1, WEBRTC_SENDONLY = 2 };

WebrtcPeer *webrtc_peer_new (uintptr_t handle, GstClock *clock,
    GstClockTime base_time, gboolean loopback);
gboolean webrtc_peer_play (WebrtcPeer *peer);
void webrtc_peer_stop (WebrtcPeer *peer);
void webrtc_peer_free (WebrtcPeer *peer);

void webrtc_peer_add_transceiver (WebrtcPeer *peer, int direction,
    const char *caps, gboolean nack);
void webrtc_peer_create (WebrtcPeer *peer, int type, uintptr_t reply);
gboolean webrtc_peer_set (WebrtcPeer *peer, gboolean local, int type,
    const char *sdp, uintptr_t reply);
void webrtc_peer_add_candidate (WebrtcPeer *peer, unsigned mline,
    const char *candidate);

GstElement *webrtc_peer_feed (WebrtcPeer *peer, unsigned mline,
    const char *launch, char **error);
gboolean webrtc_feed_push (GstElement *appsrc, const void *payload, size_t size,
    GstClockTime pts, GstClockTime duration, gboolean keyframe);

gboolean webrtc_force_keyframe (GstElement *sink);
int webrtc_peers_alive (void);
