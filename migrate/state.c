/* SPDX-License-Identifier: MIT */
#include "state.h"

#include <stdlib.h>
#include <string.h>

int mv_state_init(struct mv_state *s, uint32_t nvcpus, struct mv_err *err)
{
	uint32_t i;

	/* Not the rest, which means nothing beyond these counts: touching it takes a tenth of a restore's time. */
	s->has_irqchip = false;
	s->ndevices = s->nsites = s->nvcpus = 0;
	s->vcpus = NULL;
	if (!nvcpus || nvcpus > MV_MAX_VCPUS)
		return mv_err_set(err, MV_E_USAGE, "%u vCPUs: 1 to %d are possible", nvcpus,
				  MV_MAX_VCPUS);
	s->vcpus = calloc(nvcpus, sizeof(*s->vcpus));
	if (!s->vcpus)
		return mv_err_set(err, MV_E_FAILED, "out of memory for %u vCPUs", nvcpus);
	s->nvcpus = nvcpus;
	for (i = 0; i < nvcpus; i++)
		s->vcpus[i].id = i;
	return 0;
}

void mv_state_finish(struct mv_state *s)
{
	free(s->vcpus);
	s->vcpus = NULL;
	s->nvcpus = 0;
}
