/* SPDX-License-Identifier: MIT */
/* A fleet's memory: growing lists, texts that are kept once, and lookups by hash. */
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "fleet_impl.h"

void *mv_list_add(struct mv_list *l)
{
	if (l->n == l->room) {
		uint32_t room = l->room ? l->room * 2 : 64;
		void *v = realloc(l->v, (size_t)room * l->size);

		if (!v)
			return NULL;
		l->v = v;
		l->room = room;
	}
	return memset((char *)l->v + (size_t)l->n++ * l->size, 0, l->size);
}

uint32_t mv_index_find(const struct mv_fleet *f, const struct mv_index *x, uint64_t hash,
		       mv_index_same *same, const void *key)
{
	for (uint64_t i = hash; x->room; i++) {
		uint32_t s = x->slot[i & (x->room - 1)];

		if (!s)
			break;
		if (x->hash[i & (x->room - 1)] == hash && same(f, s - 1, key))
			return s - 1;
	}
	return MV_FLEET_NONE;
}

static void index_put(struct mv_index *x, uint64_t hash, uint32_t number)
{
	uint64_t i = hash;

	while (x->slot[i & (x->room - 1)])
		i++;
	x->slot[i & (x->room - 1)] = number + 1;
	x->hash[i & (x->room - 1)] = hash;
}

bool mv_index_add(struct mv_index *x, uint64_t hash, uint32_t number)
{
	if ((x->n + 1) * 2 > x->room) {
		struct mv_index bigger = { .n = x->n, .room = x->room ? x->room * 2 : 1024 };

		bigger.slot = calloc(bigger.room, sizeof(*bigger.slot));
		bigger.hash = calloc(bigger.room, sizeof(*bigger.hash));
		if (!bigger.slot || !bigger.hash) {
			free(bigger.slot);
			free(bigger.hash);
			return false;
		}
		for (uint32_t i = 0; i < x->room; i++)
			if (x->slot[i])
				index_put(&bigger, x->hash[i], x->slot[i] - 1);
		free(x->slot);
		free(x->hash);
		*x = bigger;
	}
	index_put(x, hash, number);
	x->n++;
	return true;
}

const char *mv_fleet_text(const struct mv_fleet *f, uint32_t text)
{
	return text == MV_FLEET_NONE ? NULL : f->text + text;
}

static bool same_text(const struct mv_fleet *f, uint32_t number, const void *key)
{
	return !strcmp(f->text + number, key);
}

uint32_t mv_fleet_put_text(struct mv_fleet *f, const char *text, size_t len)
{
	char *more;

	if (f->text_len + len + 1 > f->text_room) {
		size_t room = (f->text_room + len + 4096) * 2;

		more = room < UINT32_MAX ? realloc(f->text, room) : NULL;
		if (!more)
			return MV_FLEET_NONE;
		f->text = more;
		f->text_room = room;
	}
	memcpy(f->text + f->text_len, text, len + 1);
	f->text_len += len + 1;
	return (uint32_t)(f->text_len - len - 1);
}

uint32_t mv_fleet_keep(struct mv_fleet *f, const char *text)
{
	size_t len = strlen(text);
	uint64_t hash = XXH3_64bits(text, len);
	uint32_t at = mv_index_find(f, &f->texts, hash, same_text, text);

	if (at != MV_FLEET_NONE)
		return at;
	at = mv_fleet_put_text(f, text, len);
	return at != MV_FLEET_NONE && mv_index_add(&f->texts, hash, at) ? at : MV_FLEET_NONE;
}
