/* What comes in: of all that a remote may send, only what was agreed on reaches
 * webrtcbin, which aborts on some of the rest, and makes threads for all of it. */
#include "webrtcbin_private.h"

#include <string.h>
#include <gst/app/gstappsink.h>
#include <gst/rtp/gstrtcpbuffer.h>
#include "_cgo_export.h"

#define RTP_HEADER_SIZE 12

/* How often we report, about: browsers do so every second. GStreamer's five
 * become fifteen while packets are lost, as each NACK puts the report off. */
#define REPORT_INTERVAL ((guint64) GST_SECOND)

static gboolean
is_accepted (Owner * owner, const guint8 header[RTP_HEADER_SIZE])
{
  guint payload = header[1] & 0x7f;
  guint32 ssrc = GST_READ_UINT32_BE (header + 8);
  gboolean accepted;

  g_mutex_lock (&owner->lock);
  accepted = owner->accepted[payload];
  if (accepted && !owner->any_ssrc) {
    guint i = 0;
    while (i < owner->n_ssrcs && owner->ssrcs[i] != ssrc)
      i++;
    accepted = i < owner->n_ssrcs;
  }
  g_mutex_unlock (&owner->lock);
  return accepted;
}

static gboolean
keep_accepted (GstBuffer ** buffer, guint index, gpointer owner)
{
  guint8 header[RTP_HEADER_SIZE];

  if (gst_buffer_extract (*buffer, 0, header, sizeof (header)) !=
      sizeof (header) || !is_accepted (owner, header)) {
    gst_buffer_unref (*buffer);
    *buffer = NULL;
  }
  return TRUE;
}

static GstPadProbeReturn
filter_media (GstPad * pad, GstPadProbeInfo * info, gpointer owner)
{
  if (info->type & GST_PAD_PROBE_TYPE_BUFFER_LIST) {
    GstBufferList *list =
        gst_buffer_list_make_writable (GST_PAD_PROBE_INFO_BUFFER_LIST (info));
    gst_buffer_list_foreach (list, keep_accepted, owner);
    info->data = list;
    if (gst_buffer_list_length (list) > 0)
      return GST_PAD_PROBE_OK;
  } else {
    guint8 header[RTP_HEADER_SIZE];
    if (gst_buffer_extract (GST_PAD_PROBE_INFO_BUFFER (info), 0, header,
            sizeof (header)) == sizeof (header) && is_accepted (owner, header))
      return GST_PAD_PROBE_OK;
  }
  return GST_PAD_PROBE_DROP;
}

/* RTP and RTCP alike are a sign of life. */
static GstPadProbeReturn
note_life (GstPad * pad, GstPadProbeInfo * info, gpointer owner)
{
  goHeard (((Owner *) owner)->handle);
  return GST_PAD_PROBE_OK;
}

/* How many report blocks are in a packet, whatever it says of their number: its
 * length is in words of 32 bits, without the first. */
static guint
count_blocks (GstRTCPPacket * packet, guint words_before)
{
  guint words = gst_rtcp_packet_get_length (packet);
  guint room = words > words_before ? (words - words_before) / 6 : 0;

  return MIN (gst_rtcp_packet_get_rb_count (packet), room);
}

static guint
tell_receptions (Owner * owner, GstRTCPPacket * packet, guint words_before)
{
  guint n_blocks = count_blocks (packet, words_before);

  for (guint i = 0; i < n_blocks; i++) {
    guint32 ssrc = 0, highest = 0, jitter = 0, last_report = 0, delay = 0;
    guint8 fraction_lost = 0;
    gint32 lost = 0;

    gst_rtcp_packet_get_rb (packet, i, &ssrc, &fraction_lost, &lost, &highest,
        &jitter, &last_report, &delay);
    goReception (owner->handle, ssrc, highest, lost, jitter, last_report,
        delay);
  }
  return n_blocks;
}

/* With feedback comes the least of a report only: that there are no blocks in it
 * says nothing. */
static void
tell_reports (Owner * owner, GstRTCPBuffer * rtcp)
{
  gboolean report = FALSE, feedback = FALSE;
  guint n_blocks = 0;
  GstRTCPPacket packet;

  if (!gst_rtcp_buffer_get_first_packet (rtcp, &packet))
    return;
  do {
    switch (gst_rtcp_packet_get_type (&packet)) {
      case GST_RTCP_TYPE_SR:
        n_blocks += tell_receptions (owner, &packet, 6);
        report = TRUE;
        break;
      case GST_RTCP_TYPE_RR:
        n_blocks += tell_receptions (owner, &packet, 1);
        report = TRUE;
        break;
      case GST_RTCP_TYPE_RTPFB:
      case GST_RTCP_TYPE_PSFB:
        feedback = TRUE;
        break;
      default:
        break;
    }
  } while (gst_rtcp_packet_move_to_next (&packet));
  if (report && !feedback && n_blocks == 0)
    goReport (owner->handle);
}

static gboolean
read_reports (GstBuffer ** buffer, guint index, gpointer owner)
{
  GstRTCPBuffer rtcp = GST_RTCP_BUFFER_INIT;

  if (gst_rtcp_buffer_validate_reduced (*buffer)
      && gst_rtcp_buffer_map (*buffer, GST_MAP_READ, &rtcp)) {
    tell_reports (owner, &rtcp);
    gst_rtcp_buffer_unmap (&rtcp);
  }
  return TRUE;
}

static GstPadProbeReturn
note_reports (GstPad * pad, GstPadProbeInfo * info, gpointer owner)
{
  GstBuffer *buffer = GST_PAD_PROBE_INFO_BUFFER (info);

  if (info->type & GST_PAD_PROBE_TYPE_BUFFER_LIST)
    gst_buffer_list_foreach (GST_PAD_PROBE_INFO_BUFFER_LIST (info),
        read_reports, owner);
  else
    read_reports (&buffer, 0, owner);
  return GST_PAD_PROBE_OK;
}

static void
add_probe (Owner * owner, GstElement * element, const char *name,
    GstPadProbeCallback callback)
{
  GstPad *pad = gst_element_get_static_pad (element, name);

  if (pad) {
    gst_pad_add_probe (pad,
        GST_PAD_PROBE_TYPE_BUFFER | GST_PAD_PROBE_TYPE_BUFFER_LIST, callback,
        owner_ref (owner), owner_unref);
    gst_object_unref (pad);
  }
}

static void
on_element_added (GstBin * webrtcbin, GstBin * bin, GstElement * element,
    gpointer owner)
{
  GstElementFactory *factory = gst_element_get_factory (element);
  const char *kind = factory ? GST_OBJECT_NAME (factory) : "";

  if (strcmp (kind, "rtpsession") == 0) {
    g_object_set (element, "rtcp-min-interval", REPORT_INTERVAL, NULL);
  } else if (strcmp (kind, "rtpjitterbuffer") == 0) {
    /* It would ask for packets again that were not even sent, whenever one is
     * later than its forerunners let it expect. */
    g_object_set (element, "rtx-next-seqnum", FALSE, NULL);
  } else if (strcmp (kind, "dtlssrtpdec") == 0) {
    add_probe (owner, element, "rtp_src", filter_media);
    add_probe (owner, element, "rtcp_src", note_reports);
    add_probe (owner, element, "sink", note_life);
  }
}

/* One stream of media that comes in, up to the appsink. */
typedef struct
{
  Owner *owner;
  guint32 ssrc;
  guint payload;
  gsize pending;                /* bytes since the last frame; of one thread */
} Stream;

static void
stream_clear (gpointer data)
{
  owner_unref (((Stream *) data)->owner);
}

static void
stream_unref (gpointer data)
{
  g_atomic_rc_box_release_full (data, stream_clear);
}

static GstFlowReturn
on_sample (GstAppSink * sink, gpointer data)
{
  Stream *stream = data;
  GstSample *sample = gst_app_sink_pull_sample (sink);
  GstBuffer *buffer;
  GstMapInfo map;
  GstClockTime time;

  if (!sample)
    return GST_FLOW_EOS;
  stream->pending = 0;
  buffer = gst_sample_get_buffer (sample);
  time = gst_segment_to_running_time (gst_sample_get_segment (sample),
      GST_FORMAT_TIME, GST_BUFFER_PTS (buffer));
  if (GST_CLOCK_TIME_IS_VALID (time)
      && gst_buffer_map (buffer, &map, GST_MAP_READ)) {
    goFrame (stream->owner->handle, stream->ssrc, stream->payload, map.data,
        map.size, time, GST_BUFFER_FLAG_IS_SET (buffer,
            GST_BUFFER_FLAG_DELTA_UNIT) ? 0 : 1);
    gst_buffer_unmap (buffer, &map);
  }
  gst_sample_unref (sample);
  return GST_FLOW_OK;
}

/* A depayloader collects the parts of a frame without a limit of its own. */
static GstPadProbeReturn
bound_frame (GstPad * pad, GstPadProbeInfo * info, gpointer data)
{
  Stream *stream = data;
  gsize size = info->type & GST_PAD_PROBE_TYPE_BUFFER_LIST ?
      gst_buffer_list_calculate_size (GST_PAD_PROBE_INFO_BUFFER_LIST (info)) :
      gst_buffer_get_size (GST_PAD_PROBE_INFO_BUFFER (info));

  if (stream->pending > MAX_FRAME_BYTES)
    return GST_PAD_PROBE_DROP;
  stream->pending += size;
  if (stream->pending <= MAX_FRAME_BYTES)
    return GST_PAD_PROBE_OK;
  goPeerError (stream->owner->handle, (char *) "depayloader",
      (char *) "the remote sends a frame without an end, or no keyframe");
  return GST_PAD_PROBE_DROP;
}

static void
connect_appsink (Owner * owner, GstElement * bin, guint32 ssrc, guint payload)
{
  GstElement *sink = gst_bin_get_by_name (GST_BIN (bin), "sink");
  GstPad *pad = gst_element_get_static_pad (bin, "sink");
  GstAppSinkCallbacks callbacks = {.new_sample = on_sample };
  Stream *stream = g_atomic_rc_box_new0 (Stream);

  stream->owner = owner_ref (owner);
  stream->ssrc = ssrc;
  stream->payload = payload;
  gst_app_sink_set_callbacks (GST_APP_SINK (sink), &callbacks, stream,
      stream_unref);
  gst_pad_add_probe (pad,
      GST_PAD_PROBE_TYPE_BUFFER | GST_PAD_PROBE_TYPE_BUFFER_LIST, bound_frame,
      g_atomic_rc_box_acquire (stream), stream_unref);
  gst_object_unref (pad);
  gst_object_unref (sink);
}

/* Makes what takes a stream; without a description it only discards. */
static GstElement *
new_taker (Owner * owner, const char *depay, guint32 ssrc, guint payload)
{
  GError *error = NULL;
  GstElement *taker = NULL;

  if (depay) {
    taker = gst_parse_bin_from_description (depay, TRUE, &error);
    if (taker)
      connect_appsink (owner, taker, ssrc, payload);
    else
      goPeerError (owner->handle, (char *) "depayloader", error->message);
    g_clear_error (&error);
  }
  if (!taker) {
    taker = gst_element_factory_make ("fakesink", NULL);
    g_object_set (taker, "sync", FALSE, "async", FALSE, NULL);
  }
  return taker;
}

/* The lock is held until all is linked: webrtc_peer_stop waits for it, since an
 * element that comes while a pipeline stops may go on running. */
static void
on_pad_added (GstElement * webrtcbin, GstPad * pad, gpointer data)
{
  Owner *owner = data;
  GstObject *pipeline;
  GstElement *taker;
  GstCaps *caps;
  GstPad *sink;
  int payload = -1;
  guint ssrc = 0;

  if (GST_PAD_DIRECTION (pad) != GST_PAD_SRC)
    return;
  caps = gst_pad_get_current_caps (pad);
  if (caps) {
    gst_structure_get_int (gst_caps_get_structure (caps, 0), "payload",
        &payload);
    gst_structure_get_uint (gst_caps_get_structure (caps, 0), "ssrc", &ssrc);
    gst_caps_unref (caps);
  }
  g_mutex_lock (&owner->lock);
  pipeline = gst_object_get_parent (GST_OBJECT (webrtcbin));
  if (pipeline && !owner->stopping) {
    taker = new_taker (owner,
        payload >= 0 && payload < PAYLOAD_TYPES ? owner->depay[payload] : NULL,
        ssrc, payload);
    gst_bin_add (GST_BIN (pipeline), taker);
    gst_element_sync_state_with_parent (taker);
    sink = gst_element_get_static_pad (taker, "sink");
    gst_pad_link (pad, sink);
    gst_object_unref (sink);
  }
  g_mutex_unlock (&owner->lock);
  if (pipeline)
    gst_object_unref (pipeline);
}

/* Before anything is agreed on, nothing is accepted. */
void
watch_received_media (Owner * owner, GstElement * webrtcbin)
{
  GstElement *rtpbin = gst_bin_get_by_name (GST_BIN (webrtcbin), "rtpbin");

  if (rtpbin) {
    g_object_set (rtpbin, "max-streams", (guint) MAX_REMOTE_SOURCES, NULL);
    gst_object_unref (rtpbin);
  }
  connect_signal (owner, webrtcbin, "deep-element-added",
      G_CALLBACK (on_element_added));
  connect_signal (owner, webrtcbin, "pad-added", G_CALLBACK (on_pad_added));
}

void
webrtc_peer_accept_nothing (WebrtcPeer * peer)
{
  Owner *owner = peer->owner;

  g_mutex_lock (&owner->lock);
  memset (owner->accepted, 0, sizeof (owner->accepted));
  owner->any_ssrc = FALSE;
  owner->n_ssrcs = 0;
  g_mutex_unlock (&owner->lock);
}

/* Lets a payload type in. What has been made of it stays as it is for streams
 * that have begun. */
void
webrtc_peer_accept (WebrtcPeer * peer, unsigned payload, const char *depay)
{
  Owner *owner = peer->owner;

  if (payload >= PAYLOAD_TYPES)
    return;
  g_mutex_lock (&owner->lock);
  owner->accepted[payload] = TRUE;
  g_free (owner->depay[payload]);
  owner->depay[payload] = g_strdup (depay);
  g_mutex_unlock (&owner->lock);
}

void
webrtc_peer_accept_ssrc (WebrtcPeer * peer, uint32_t ssrc)
{
  Owner *owner = peer->owner;

  g_mutex_lock (&owner->lock);
  if (owner->n_ssrcs < MAX_SSRCS)
    owner->ssrcs[owner->n_ssrcs++] = ssrc;
  g_mutex_unlock (&owner->lock);
}

void
webrtc_peer_accept_any_ssrc (WebrtcPeer * peer)
{
  g_mutex_lock (&peer->owner->lock);
  peer->owner->any_ssrc = TRUE;
  g_mutex_unlock (&peer->owner->lock);
}

/* Asks the remote for a keyframe of a stream (RTCP PLI). */
void
webrtc_peer_want_keyframe (WebrtcPeer * peer, uint32_t ssrc)
{
  GstIterator *pads = gst_element_iterate_src_pads (peer->webrtcbin);
  GValue item = G_VALUE_INIT;

  while (gst_iterator_next (pads, &item) == GST_ITERATOR_OK) {
    GstPad *pad = g_value_get_object (&item);
    GstCaps *caps = gst_pad_get_current_caps (pad);
    guint pad_ssrc = 0;

    if (caps) {
      gst_structure_get_uint (gst_caps_get_structure (caps, 0), "ssrc",
          &pad_ssrc);
      gst_caps_unref (caps);
    }
    if (pad_ssrc == ssrc)
      gst_pad_send_event (pad, gst_event_new_custom (GST_EVENT_CUSTOM_UPSTREAM,
              gst_structure_new ("GstForceKeyUnit", "all-headers",
                  G_TYPE_BOOLEAN, TRUE, NULL)));
    g_value_reset (&item);
  }
  g_value_unset (&item);
  gst_iterator_free (pads);
}
