/* Statistics as text, which is all that has to cross into Go. */
#include "webrtcbin_private.h"

#include <string.h>

typedef struct
{
  GString *text;
  const char *entry;            /* the id of an entry of the report */
  const char *inside;           /* the field that holds a structure; NULL outside */
} Place;

static gboolean append_field (GQuark field, const GValue * value,
    gpointer data);

static void
append_structure (Place place, const GstStructure * structure)
{
  gst_structure_foreach (structure, append_field, &place);
}

/* Lines of entry, field and value, with tabs between them. */
static void
append_value (Place * place, const char *field, const GValue * value)
{
  char *text = G_VALUE_HOLDS_STRING (value) ? g_value_dup_string (value)
      : gst_value_serialize (value);

  if (text && !strpbrk (text, "\t\n"))
    g_string_append_printf (place->text, "%s\t%s%s%s\t%s\n", place->entry,
        place->inside ? place->inside : "", place->inside ? "." : "", field,
        text);
  g_free (text);
}

static gboolean
append_field (GQuark field, const GValue * value, gpointer data)
{
  Place place = *(Place *) data;
  const char *name = g_quark_to_string (field);

  if (!GST_VALUE_HOLDS_STRUCTURE (value)) {
    if (place.entry)
      append_value (&place, name, value);
    return TRUE;
  }
  if (place.entry)
    place.inside = name;
  else
    place.entry = name;
  append_structure (place, gst_value_get_structure (value));
  return TRUE;
}

char *
stats_to_text (const GstStructure * stats)
{
  Place place = { g_string_new (NULL), NULL, NULL };

  append_structure (place, stats);
  return g_string_free (place.text, FALSE);
}
