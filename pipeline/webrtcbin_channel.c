/* Data channels: one that we open, and what the remote says on any. */
#include "webrtcbin_private.h"

#include "_cgo_export.h"

static void
on_text (GObject * channel, const char *text, gpointer owner)
{
  if (text)
    goText (((Owner *) owner)->handle, (char *) text);
}

static void
on_open (GObject * channel, gpointer owner)
{
  goChannelOpen (((Owner *) owner)->handle);
}

/* Told of every channel before anything happens on it. When a remote closes one,
 * 1.22 frees it under the thread that still sends on it: it is held here. */
static void
on_prepare_channel (GstElement * webrtcbin, GObject * channel, gboolean ours,
    gpointer data)
{
  Owner *owner = data;
  gboolean too_many;

  g_mutex_lock (&owner->lock);
  if (!owner->stopping)
    owner->channels = g_slist_prepend (owner->channels, g_object_ref (channel));
  if (!ours)
    owner->n_channels++;
  too_many = owner->n_channels > MAX_REMOTE_CHANNELS;
  g_mutex_unlock (&owner->lock);
  if (ours)
    connect_signal (owner, channel, "on-open", G_CALLBACK (on_open));
  connect_signal (owner, channel, "on-message-string", G_CALLBACK (on_text));
  if (too_many)
    goPeerError (owner->handle, (char *) "data channel",
        (char *) "the remote opens too many");
}

/* To be called after the last thread has ended. */
void
free_channels (Owner * owner)
{
  g_slist_free_full (g_steal_pointer (&owner->channels), g_object_unref);
}

void
watch_channels (Owner * owner, GstElement * webrtcbin)
{
  connect_signal (owner, webrtcbin, "prepare-data-channel",
      G_CALLBACK (on_prepare_channel));
}

/* Opens our channel; in front of an offer it becomes a part of that. */
gboolean
webrtc_peer_open_channel (WebrtcPeer * peer, const char *label)
{
  if (!peer->channel)
    g_signal_emit_by_name (peer->webrtcbin, "create-data-channel", label, NULL,
        &peer->channel);
  return peer->channel != NULL;
}

/* Returns FALSE when the remote is so slow that too much waits already. What is
 * sent on a channel that the remote has closed goes nowhere. */
gboolean
webrtc_peer_send_text (WebrtcPeer * peer, const char *text)
{
  const guint64 max_buffered = 1024 * 1024;
  const int open = 2;           /* GST_WEBRTC_DATA_CHANNEL_STATE_OPEN */
  guint64 buffered = 0;
  int state = 0;

  if (!peer->channel)
    return TRUE;
  g_object_get (peer->channel, "ready-state", &state, "buffered-amount",
      &buffered, NULL);
  if (state != open)
    return TRUE;
  if (buffered > max_buffered)
    return FALSE;
  g_signal_emit_by_name (peer->channel, "send-string", text);
  return TRUE;
}

static void
for_each (GstIterator * iterator, GstIteratorForeachFunction call)
{
  while (gst_iterator_foreach (iterator, call, NULL) == GST_ITERATOR_RESYNC)
    gst_iterator_resync (iterator);
  gst_iterator_free (iterator);
}

static void
flush_pad (const GValue * pad, gpointer unused)
{
  gst_pad_send_event (g_value_get_object (pad), gst_event_new_flush_start ());
}

static void
flush_sink_pads (const GValue * element, gpointer unused)
{
  for_each (gst_element_iterate_sink_pads (g_value_get_object (element)),
      flush_pad);
}

static GstPadProbeReturn
drop (GstPad * pad, GstPadProbeInfo * info, gpointer unused)
{
  return GST_PAD_PROBE_DROP;
}

/* Returns when nothing is on its way through the pad, and nothing will be. */
static void
shut_pad (const GValue * value, gpointer unused)
{
  GstPad *pad = g_value_get_object (value);

  gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_BUFFER |
      GST_PAD_PROBE_TYPE_BUFFER_LIST, drop, NULL, NULL);
  GST_PAD_STREAM_LOCK (pad);
  GST_PAD_STREAM_UNLOCK (pad);
}

static void
shut_sink_pads (const GValue * element, gpointer unused)
{
  for_each (gst_element_iterate_sink_pads (g_value_get_object (element)),
      shut_pad);
}

/* Makes channels ready for the end, which 1.22 is not by itself: sctpenc waits
 * without end for a remote that does not read, where no change of state reaches
 * it, and sctpdec takes away the pads of channels while it makes those of new
 * ones. */
void
interrupt_channels (GstElement * webrtcbin)
{
  GstBin *bin = GST_BIN (webrtcbin);

  for_each (gst_bin_iterate_all_by_element_factory_name (bin, "sctpdec"),
      shut_sink_pads);
  for_each (gst_bin_iterate_all_by_element_factory_name (bin, "sctpenc"),
      flush_sink_pads);
}
