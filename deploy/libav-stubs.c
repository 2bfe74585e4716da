/* Stand-ins for libavformat and libavfilter, which GStreamer's libav plugin is
 * linked to for its muxers, demuxers and avdeinterlace. gstpeer uses its decoders
 * alone, and the two would bring 85 MB of other libraries into the image. Here
 * there are no formats, and whatever else is called fails. */
#include <stddef.h>

#define NOTHING(name) void *name (void) { return NULL; }
#define FAILS(name) int name (void) { return -1; }
#define IGNORED(name) void name (void) {}

#ifdef FORMAT
NOTHING (av_demuxer_iterate)
NOTHING (av_muxer_iterate)
NOTHING (avformat_alloc_context)
NOTHING (avformat_index_get_entry)
NOTHING (avformat_new_stream)
NOTHING (avio_alloc_context)
FAILS (av_find_default_stream_index)
FAILS (av_index_search_timestamp)
FAILS (av_read_frame)
FAILS (av_seek_frame)
FAILS (av_write_frame)
FAILS (av_write_trailer)
FAILS (avformat_find_stream_info)
FAILS (avformat_open_input)
FAILS (avformat_write_header)
IGNORED (avformat_close_input)
IGNORED (avformat_free_context)
IGNORED (avio_flush)
#else
NOTHING (avfilter_graph_alloc)
NOTHING (avfilter_graph_get_filter)
FAILS (av_buffersink_get_frame)
FAILS (av_buffersrc_add_frame)
FAILS (avfilter_graph_config)
FAILS (avfilter_graph_parse2)
IGNORED (avfilter_graph_free)
#endif
