/* What the C files of this package share. */
#pragma once

#include <gst/sdp/gstsdpmessage.h>
#include "webrtcbin.h"

/* How many data channels a remote may open, and how many sources of media it
 * may send: each costs threads. */
#define MAX_REMOTE_CHANNELS 64
#define MAX_REMOTE_SOURCES 32

/* What may come in of one frame: as much as is ever recorded of one. */
#define MAX_FRAME_BYTES (16 * 1024 * 1024)

#define PAYLOAD_TYPES 128
#define MAX_SSRCS 64

/* Owner is the Go peer, as everything that can still call it back sees it:
 * the handle is released after the last of them is gone. */
typedef struct
{
  gint refs;
  uintptr_t handle;

  GMutex lock;                  /* of all that follows */
  gboolean stopping;            /* nothing may be added to the pipeline any more */
  gboolean accepted[PAYLOAD_TYPES];     /* what may come in */
  char *depay[PAYLOAD_TYPES];   /* and what is made of it; NULL: it is discarded */
  gboolean any_ssrc;            /* or only those listed here */
  guint32 ssrcs[MAX_SSRCS];
  guint n_ssrcs;
  guint n_channels;             /* that the remote has opened; a closed one keeps its thread (1.22) */
  GSList *channels;             /* all of them, until no thread is left */
} Owner;

struct WebrtcPeer
{
  GstElement *pipeline;
  GstElement *webrtcbin;
  Owner *owner;
  GstPromise *promise;          /* the newest one: there is one at a time */
  GObject *channel;             /* our data channel; NULL before it was opened */
};

Owner *owner_ref (Owner * owner);
void owner_unref (gpointer owner);
void connect_signal (Owner * owner, gpointer object, const char *signal,
    GCallback callback);

void watch_received_media (Owner * owner, GstElement * webrtcbin);
void watch_channels (Owner * owner, GstElement * webrtcbin);
void interrupt_channels (GstElement * webrtcbin);
void free_channels (Owner * owner);
char *stats_to_text (const GstStructure * stats);
