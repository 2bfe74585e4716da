#include "webrtcbin_private.h"

#include <string.h>
#include <gst/app/gstappsrc.h>
#include "_cgo_export.h"

/* libgstwebrtc's public ABI, as far as it is used here. Its own header is in a
 * package that installs 580 MB of OpenCV besides; where it is present the
 * compiler compares. */
typedef struct
{
  int type;
  GstSDPMessage *sdp;
} SessionDescription;

#if defined(__has_include)
#if __has_include(<gst/webrtc/webrtc.h>)
#define GST_USE_UNSTABLE_API
#include <gst/webrtc/webrtc.h>
G_STATIC_ASSERT (sizeof (SessionDescription) ==
    sizeof (GstWebRTCSessionDescription));
G_STATIC_ASSERT (G_STRUCT_OFFSET (SessionDescription, sdp) ==
    G_STRUCT_OFFSET (GstWebRTCSessionDescription, sdp));
G_STATIC_ASSERT ((int) WEBRTC_SDP_OFFER == (int) GST_WEBRTC_SDP_TYPE_OFFER);
G_STATIC_ASSERT ((int) WEBRTC_SDP_ANSWER == (int) GST_WEBRTC_SDP_TYPE_ANSWER);
G_STATIC_ASSERT ((int) WEBRTC_INACTIVE ==
    (int) GST_WEBRTC_RTP_TRANSCEIVER_DIRECTION_INACTIVE);
G_STATIC_ASSERT ((int) WEBRTC_SENDRECV ==
    (int) GST_WEBRTC_RTP_TRANSCEIVER_DIRECTION_SENDRECV);
G_STATIC_ASSERT ((int) WEBRTC_ICE_RELAY ==
    (int) GST_WEBRTC_ICE_TRANSPORT_POLICY_RELAY);
G_STATIC_ASSERT ((int) WEBRTC_GATHERED ==
    (int) GST_WEBRTC_ICE_GATHERING_STATE_COMPLETE);
G_STATIC_ASSERT ((int) WEBRTC_ICE_CONNECTED ==
    (int) GST_WEBRTC_ICE_CONNECTION_STATE_CONNECTED);
G_STATIC_ASSERT ((int) WEBRTC_ICE_COMPLETED ==
    (int) GST_WEBRTC_ICE_CONNECTION_STATE_COMPLETED);
#endif
#endif

/* A whole keyframe may wait in front of the payloader, and little more. */
#define FEED_MAX_BYTES (512 * 1024)

static gint peers_alive;

Owner *
owner_ref (Owner * owner)
{
  g_atomic_int_inc (&owner->refs);
  return owner;
}

void
owner_unref (gpointer data)
{
  Owner *owner = data;

  if (!g_atomic_int_dec_and_test (&owner->refs))
    return;
  goOwnerGone (owner->handle);
  for (guint i = 0; i < PAYLOAD_TYPES; i++)
    g_free (owner->depay[i]);
  g_mutex_clear (&owner->lock);
  g_free (owner);
}

static void
owner_unref_closure (gpointer data, GClosure * closure)
{
  owner_unref (data);
}

static void
on_ice_candidate (GstElement * webrtcbin, guint mline, char *candidate,
    gpointer data)
{
  goCandidate (((Owner *) data)->handle, mline, candidate);
}

static void
on_connection_state (GObject * webrtcbin, GParamSpec * spec, gpointer data)
{
  int state;

  g_object_get (webrtcbin, "connection-state", &state, NULL);
  goConnectionState (((Owner *) data)->handle, state);
}

static void
on_ice_state (GObject * webrtcbin, GParamSpec * spec, gpointer data)
{
  int gathering, connection;

  g_object_get (webrtcbin, "ice-gathering-state", &gathering,
      "ice-connection-state", &connection, NULL);
  goIceState (((Owner *) data)->handle, gathering, connection);
}

static void
on_webrtcbin_gone (gpointer data, GObject * where_it_was)
{
  g_atomic_int_add (&peers_alive, -1);
}

/* The name of the element's factory, such as "dtlsdec". */
static const char *
kind_of (GstObject * source)
{
  GstElementFactory *factory = NULL;

  if (GST_IS_ELEMENT (source))
    factory = gst_element_get_factory (GST_ELEMENT (source));
  return factory ? GST_OBJECT_NAME (factory) : GST_OBJECT_NAME (source);
}

/* Errors are posted from here, so that no thread has to wait on the bus. */
static GstBusSyncReply
on_message (GstBus * bus, GstMessage * message, gpointer data)
{
  Owner *owner = data;
  GError *error = NULL;
  gchar *detail = NULL;

  if (GST_MESSAGE_TYPE (message) == GST_MESSAGE_ERROR) {
    gst_message_parse_error (message, &error, &detail);
    goPeerError (owner->handle, (char *) kind_of (GST_MESSAGE_SRC (message)),
        error->message);
    g_error_free (error);
    g_free (detail);
  }
  gst_message_unref (message);
  return GST_BUS_DROP;
}

void
connect_signal (Owner * owner, gpointer object, const char *signal,
    GCallback callback)
{
  g_signal_connect_data (object, signal, callback, owner_ref (owner),
      owner_unref_closure, 0);
}

/* libnice opens UPnP conversations with the router unless told not to, takes
 * minutes to miss a dead remote unless it checks, listens on TCP, which browsers
 * hardly use, and ignores loopback. With loopback it knows no other address. */
static void
set_up_ice (GstElement * webrtcbin, const WebrtcSettings * settings)
{
  GObject *ice = NULL, *agent = NULL;
  gboolean added;

  if (settings->relay_only)
    g_object_set (webrtcbin, "ice-transport-policy", WEBRTC_ICE_RELAY, NULL);
  if (settings->stun_server)
    g_object_set (webrtcbin, "stun-server", settings->stun_server, NULL);
  for (const char *const *turn = settings->turn_servers; turn && *turn; turn++)
    g_signal_emit_by_name (webrtcbin, "add-turn-server", *turn, &added);
  g_object_get (webrtcbin, "ice-agent", &ice, NULL);
  if (!ice)
    return;
  g_object_get (ice, "agent", &agent, NULL);
  if (agent) {
    g_object_set (agent, "upnp", FALSE, "ice-tcp", settings->tcp,
        "keepalive-conncheck", TRUE, NULL);
    g_object_unref (agent);
  }
  if (settings->max_port)       /* in this order, or the one passes the other */
    g_object_set (ice, "max-rtp-port", settings->max_port, "min-rtp-port",
        settings->min_port, NULL);
  if (settings->loopback)
    g_signal_emit_by_name (ice, "add-local-ip-address", "127.0.0.1", &added);
  g_object_unref (ice);
}

/* Sender reports tell when a frame was captured, not when it was sent: picture
 * and sound then meet at the receiver although their encoders differ. */
static void
set_up_rtp (GstElement * webrtcbin)
{
  GstElement *rtpbin = gst_bin_get_by_name (GST_BIN (webrtcbin), "rtpbin");

  if (rtpbin) {
    g_object_set (rtpbin, "rtcp-sync-send-time", FALSE, NULL);
    gst_object_unref (rtpbin);
  }
}

/* Returns NULL if there is no webrtcbin element. The handle is released by
 * goOwnerGone, even then. */
WebrtcPeer *
webrtc_peer_new (uintptr_t handle, const WebrtcSettings * settings)
{
  Owner *owner = g_new0 (Owner, 1);
  GstElement *webrtcbin;
  WebrtcPeer *peer;
  GstBus *bus;

  owner->refs = 1;
  owner->handle = handle;
  g_mutex_init (&owner->lock);
  webrtcbin = gst_element_factory_make ("webrtcbin", NULL);
  if (!webrtcbin) {
    owner_unref (owner);
    return NULL;
  }
  g_atomic_int_inc (&peers_alive);
  g_object_weak_ref (G_OBJECT (webrtcbin), on_webrtcbin_gone, NULL);
  gst_util_set_object_arg (G_OBJECT (webrtcbin), "bundle-policy", "max-bundle");
  g_object_set (webrtcbin, "latency", settings->latency, NULL);
  connect_signal (owner, webrtcbin, "on-ice-candidate", G_CALLBACK (on_ice_candidate));
  connect_signal (owner, webrtcbin, "notify::connection-state",
      G_CALLBACK (on_connection_state));
  connect_signal (owner, webrtcbin, "notify::ice-gathering-state",
      G_CALLBACK (on_ice_state));
  connect_signal (owner, webrtcbin, "notify::ice-connection-state",
      G_CALLBACK (on_ice_state));
  watch_received_media (owner, webrtcbin);
  watch_channels (owner, webrtcbin);
  set_up_ice (webrtcbin, settings);
  set_up_rtp (webrtcbin);

  peer = g_new0 (WebrtcPeer, 1);
  peer->owner = owner;
  peer->webrtcbin = webrtcbin;
  peer->pipeline = gst_object_ref_sink (gst_pipeline_new (NULL));
  gst_pipeline_use_clock (GST_PIPELINE (peer->pipeline), settings->clock);
  gst_element_set_start_time (peer->pipeline, GST_CLOCK_TIME_NONE);
  gst_element_set_base_time (peer->pipeline, settings->base_time);
  gst_bin_add (GST_BIN (peer->pipeline), webrtcbin);
  bus = gst_element_get_bus (peer->pipeline);
  gst_bus_set_sync_handler (bus, on_message, owner_ref (owner), owner_unref);
  gst_object_unref (bus);
  return peer;
}

gboolean
webrtc_peer_play (WebrtcPeer * peer)
{
  return gst_element_set_state (peer->pipeline, GST_STATE_PLAYING) !=
      GST_STATE_CHANGE_FAILURE;
}

/* Ends every thread of the peer and lets each waiting push return. Never call
 * it from one of those threads, that is from a callback: it would wait for
 * itself. */
void
webrtc_peer_stop (WebrtcPeer * peer)
{
  g_mutex_lock (&peer->owner->lock);
  peer->owner->stopping = TRUE;
  g_mutex_unlock (&peer->owner->lock);
  interrupt_channels (peer->webrtcbin);
  gst_element_set_state (peer->pipeline, GST_STATE_NULL);
}

/* A promise that webrtcbin took along when it stopped is answered here. */
void
webrtc_peer_free (WebrtcPeer * peer)
{
  if (peer->promise) {
    gst_promise_interrupt (peer->promise);
    gst_promise_unref (peer->promise);
  }
  g_clear_object (&peer->channel);
  gst_object_unref (peer->pipeline);
  free_channels (peer->owner);
  owner_unref (peer->owner);
  g_free (peer);
}

/* The caps name codec, payload type and SSRC. With nack, lost packets are sent
 * again: not for sound, for which browsers refuse an offer of it. */
void
webrtc_peer_add_transceiver (WebrtcPeer * peer, int direction, const char *text,
    gboolean nack)
{
  GstCaps *caps = gst_caps_from_string (text);
  GObject *transceiver = NULL;

  g_signal_emit_by_name (peer->webrtcbin, "add-transceiver", direction, caps,
      &transceiver);
  if (transceiver) {
    g_object_set (transceiver, "do-nack", nack, NULL);
    g_object_unref (transceiver);
  }
  gst_caps_unref (caps);
}

/* Each promise ends in exactly one goReply. */
static void
on_reply (GstPromise * promise, gpointer data)
{
  const GstStructure *reply = NULL;
  const char *failure = NULL;
  GError *error = NULL;
  char *text = NULL;

  if (gst_promise_wait (promise) == GST_PROMISE_RESULT_REPLIED)
    reply = gst_promise_get_reply (promise);
  else
    failure = "webrtcbin was stopped";
  if (reply && gst_structure_has_field (reply, "error")) {
    gst_structure_get (reply, "error", G_TYPE_ERROR, &error, NULL);
    failure = error ? error->message : "webrtcbin gave no reason";
  } else if (reply && gst_structure_has_name (reply, "application/x-webrtc-stats")) {
    text = stats_to_text (reply);
  } else if (reply) {
    const char *names[] = { "offer", "answer" };
    for (guint i = 0; i < G_N_ELEMENTS (names); i++) {
      const GValue *value = gst_structure_get_value (reply, names[i]);
      const SessionDescription *description =
          value ? g_value_get_boxed (value) : NULL;
      if (description)
        text = gst_sdp_message_as_text (description->sdp);
    }
  }
  goReply ((uintptr_t) data, text, (char *) failure);
  g_clear_error (&error);
  g_free (text);
}

/* The peer keeps the promise; the caller only lends it out. */
static GstPromise *
promise_new (WebrtcPeer * peer, uintptr_t reply)
{
  if (peer->promise)
    gst_promise_unref (peer->promise);
  peer->promise =
      gst_promise_new_with_change_func (on_reply, (gpointer) reply, NULL);
  return peer->promise;
}

/* Replies with the text of an offer or an answer. */
void
webrtc_peer_create (WebrtcPeer * peer, int type, uintptr_t reply)
{
  g_signal_emit_by_name (peer->webrtcbin,
      type == WEBRTC_SDP_OFFER ? "create-offer" : "create-answer", NULL,
      promise_new (peer, reply));
}

/* Sets the local or remote description. Returns FALSE, and makes no reply, if
 * the text is not SDP. */
gboolean
webrtc_peer_set (WebrtcPeer * peer, gboolean local, int type, const char *sdp,
    uintptr_t reply)
{
  SessionDescription description = { type, NULL };

  if (gst_sdp_message_new_from_text (sdp, &description.sdp) != GST_SDP_OK) {
    if (description.sdp)
      gst_sdp_message_free (description.sdp);
    return FALSE;
  }
  g_signal_emit_by_name (peer->webrtcbin,
      local ? "set-local-description" : "set-remote-description",
      &description, promise_new (peer, reply));
  gst_sdp_message_free (description.sdp);
  return TRUE;
}

/* The certificate of the remote in PEM form, or NULL. There is one transport,
 * which all m-lines share. */
char *
webrtc_peer_remote_certificate (WebrtcPeer * peer)
{
  GstIterator *decoders =
      gst_bin_iterate_all_by_element_factory_name (GST_BIN (peer->webrtcbin),
      "dtlsdec");
  GValue item = G_VALUE_INIT;
  char *pem = NULL;

  while (!pem && gst_iterator_next (decoders, &item) == GST_ITERATOR_OK) {
    g_object_get (g_value_get_object (&item), "peer-pem", &pem, NULL);
    g_value_reset (&item);
  }
  g_value_unset (&item);
  gst_iterator_free (decoders);
  return pem;
}

/* Replies with what stats_to_text makes of the statistics. */
void
webrtc_peer_stats (WebrtcPeer * peer, uintptr_t reply)
{
  g_signal_emit_by_name (peer->webrtcbin, "get-stats", NULL,
      promise_new (peer, reply));
}

void
webrtc_peer_add_candidate (WebrtcPeer * peer, unsigned mline,
    const char *candidate)
{
  g_signal_emit_by_name (peer->webrtcbin, "add-ice-candidate", mline,
      candidate);
}

/* What comes up from the RTP session: the receiver's wish for a keyframe, and
 * the question for the latency, which is nothing, since frames arrive after
 * the moment that they show: webrtcbin must not hold them back any longer. */
static GstPadProbeReturn
on_upstream (GstPad * pad, GstPadProbeInfo * info, gpointer data)
{
  if (info->type & GST_PAD_PROBE_TYPE_EVENT_UPSTREAM) {
    const GstStructure *s =
        gst_event_get_structure (GST_PAD_PROBE_INFO_EVENT (info));
    if (s && gst_structure_has_name (s, "GstForceKeyUnit")) {
      goKeyframeWanted (((Owner *) data)->handle);
      return GST_PAD_PROBE_DROP;
    }
  } else if (info->type & GST_PAD_PROBE_TYPE_QUERY_UPSTREAM) {
    GstQuery *query = GST_PAD_PROBE_INFO_QUERY (info);
    if (GST_QUERY_TYPE (query) == GST_QUERY_LATENCY) {
      gst_query_set_latency (query, TRUE, 0, GST_CLOCK_TIME_NONE);
      return GST_PAD_PROBE_HANDLED;
    }
  }
  return GST_PAD_PROBE_OK;
}

/* Links appsrc and payloader, of which launch is the description with the
 * appsrc named "feed", to the sink pad that negotiation made for the m-line.
 * The appsrc is the caller's until webrtc_peer_free. */
GstElement *
webrtc_peer_feed (WebrtcPeer * peer, unsigned mline, const char *launch,
    char **error)
{
  GstElement *bin, *feed;
  GstPad *sink = NULL, *src, *pad;
  GError *parse_error = NULL;
  GstPadLinkReturn linked;
  GstIterator *pads;
  GValue item = G_VALUE_INIT;

  pads = gst_element_iterate_sink_pads (peer->webrtcbin);
  while (!sink && gst_iterator_next (pads, &item) == GST_ITERATOR_OK) {
    GObject *transceiver = NULL;
    guint pad_mline = G_MAXUINT;
    g_object_get (g_value_get_object (&item), "transceiver", &transceiver,
        NULL);
    if (transceiver) {
      g_object_get (transceiver, "mlineindex", &pad_mline, NULL);
      g_object_unref (transceiver);
    }
    if (pad_mline == mline)
      sink = g_value_dup_object (&item);
    g_value_reset (&item);
  }
  g_value_unset (&item);
  gst_iterator_free (pads);
  if (!sink) {
    *error = g_strdup ("webrtcbin made no pad to send on");
    return NULL;
  }

  bin = gst_parse_bin_from_description (launch, TRUE, &parse_error);
  if (!bin) {
    *error = g_strdup (parse_error->message);
    g_error_free (parse_error);
    gst_object_unref (sink);
    return NULL;
  }
  g_clear_error (&parse_error);
  feed = gst_bin_get_by_name (GST_BIN (bin), "feed");
  g_object_set (feed, "format", GST_FORMAT_TIME, "is-live", TRUE, "block", TRUE,
      "max-bytes", (guint64) FEED_MAX_BYTES, NULL);
  pad = gst_element_get_static_pad (feed, "src");
  gst_pad_add_probe (pad,
      GST_PAD_PROBE_TYPE_EVENT_UPSTREAM | GST_PAD_PROBE_TYPE_QUERY_UPSTREAM |
      GST_PAD_PROBE_TYPE_PUSH, on_upstream, owner_ref (peer->owner),
      owner_unref);
  gst_object_unref (pad);

  gst_bin_add (GST_BIN (peer->pipeline), bin);
  src = gst_element_get_static_pad (bin, "src");
  linked = gst_pad_link (src, sink);
  gst_object_unref (src);
  gst_object_unref (sink);
  gst_object_unref (feed);      /* its bin holds it */
  if (linked != GST_PAD_LINK_OK) {
    *error = g_strdup_printf ("pads do not link: %s",
        gst_pad_link_get_name (linked));
    return NULL;
  }
  if (!gst_element_sync_state_with_parent (bin)) {
    *error = g_strdup ("the payloader does not start");
    return NULL;
  }
  return feed;
}

/* Returns FALSE once the peer was stopped. Waits while the peer is behind. */
gboolean
webrtc_feed_push (GstElement * appsrc, const void *payload, size_t size,
    GstClockTime pts, GstClockTime duration, gboolean keyframe)
{
  GstBuffer *buffer = gst_buffer_new_memdup (payload, size);

  GST_BUFFER_PTS (buffer) = pts;
  GST_BUFFER_DURATION (buffer) = duration;
  if (!keyframe)
    GST_BUFFER_FLAG_SET (buffer, GST_BUFFER_FLAG_DELTA_UNIT);
  return gst_app_src_push_buffer (GST_APP_SRC (appsrc), buffer) == GST_FLOW_OK;
}

/* Asks the encoder before a sink for a keyframe. */
gboolean
webrtc_force_keyframe (GstElement * sink)
{
  GstStructure *wish = gst_structure_new ("GstForceKeyUnit",
      "running-time", G_TYPE_UINT64, GST_CLOCK_TIME_NONE,
      "all-headers", G_TYPE_BOOLEAN, TRUE, "count", G_TYPE_UINT, 0, NULL);

  return gst_element_send_event (sink,
      gst_event_new_custom (GST_EVENT_CUSTOM_UPSTREAM, wish));
}

/* The number of webrtcbins that are not finalized yet. */
int
webrtc_peers_alive (void)
{
  return g_atomic_int_get (&peers_alive);
}
