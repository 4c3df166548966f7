/* SPDX-License-Identifier: MIT */
/* Probe results as one page: features down, results across, a colour and a word for each verdict. */
#include <stdlib.h>
#include <string.h>

#include "builtin.h"
#include "file.h"
#include "probe.h"

#define MARK "<!--BODY-->"
#define MANY 5	/* columns from which their names stand upright */

struct page {
	const struct mv_probe_result *const *r;
	const char *const *names;
	size_t n;
	FILE *f;
};

static const struct {
	const char *verdict, *brief, *means;
} verdicts[] = {
	{ "OK", "ok", "shown and executes" },
	{ "LEAK", "LEAK", "hidden, and executes all the same" },
	{ "ENFORCED", "enf", "hidden, the host has it, and it faults" },
	{ "ABSENT", "abs", "hidden, and the host lacks it" },
	{ "BROKEN", "BROKEN", "shown, and faults" },
	{ "BLOCKED", "blk", "shown, but its control could not be switched on" },
	{ "ABORT", "abort", "transactions begin, and none commits" },
	{ "UNDECIDABLE", "und", "its outcome says nothing" },
	{ "SKIP", "skip", "not tried" },
};
#define NVERDICTS (sizeof(verdicts) / sizeof(verdicts[0]))

static void escape(FILE *f, const char *s)
{
	for (; *s; s++)
		switch (*s) {
		case '<': fputs("&lt;", f); break;
		case '>': fputs("&gt;", f); break;
		case '&': fputs("&amp;", f); break;
		case '"': fputs("&quot;", f); break;
		default: fputc(*s, f);
		}
}

static const char *brief(const char *verdict)
{
	for (size_t i = 0; i < NVERDICTS; i++)
		if (!strcmp(verdicts[i].verdict, verdict))
			return verdicts[i].brief;
	return verdict;
}

static void runs(const struct page *p)
{
	fputs("<table class=\"runs\"><tr><th>column</th><th>host</th><th>kind</th><th>masks</th>"
	      "<th>leaks</th><th>how</th></tr>\n", p->f);
	for (size_t i = 0; i < p->n; i++) {
		const struct mv_probe_result *r = p->r[i];
		const char *const cells[] = { p->names[i], r->host, *r->kind ? r->kind : "–",
					      *r->masks ? r->masks : "–" };

		fputs("<tr>", p->f);
		for (size_t k = 0; k < sizeof(cells) / sizeof(cells[0]); k++) {
			fputs("<td>", p->f);
			escape(p->f, cells[k]);
			if (k == 1 && *r->kernel) {
				fputs(*r->host ? ", Linux " : "Linux ", p->f);
				escape(p->f, r->kernel);
			}
			fputs("</td>", p->f);
		}
		fprintf(p->f, "<td>%u</td><td>%s</td></tr>\n", mv_probe_count(r, "LEAK"),
			r->predicted ? "predicted" : "measured");
	}
	fputs("</table>\n", p->f);
}

/* For paper, and where no mouse is: what the short words stand for. */
static void legend(const struct page *p)
{
	fputs("<p class=\"legend\">", p->f);
	for (size_t i = 0; i < NVERDICTS; i++)
		fprintf(p->f, "<span><strong>%s</strong> %s</span>\n", verdicts[i].brief, verdicts[i].means);
	fputs("<span><strong>*</strong> unproven: not yet seen both to succeed and to fail</span></p>\n", p->f);
}

static void tools(const struct page *p)
{
	fputs("<div class=\"tools\"><input type=\"search\" id=\"find\" placeholder=\"feature or "
	      "instruction\" aria-label=\"filter\">\n<span class=\"key\">", p->f);
	for (size_t i = 0; i < NVERDICTS; i++)
		fprintf(p->f, "<label title=\"%s\"><input type=\"checkbox\" data-v=\"%s\" checked> "
			      "<span class=\"%s\">%s</span></label>\n",
			verdicts[i].means, verdicts[i].verdict, verdicts[i].verdict,
			verdicts[i].verdict);
	fprintf(p->f, "</span><label%s><input type=\"checkbox\" id=\"differ\"> only what differs"
		      "</label> <span id=\"count\"></span></div>\n", p->n > 1 ? "" : " hidden");
}

/* What a mouse over the cell tells. */
static void tip(FILE *f, const struct mv_probe_row *r)
{
	fputs(" title=\"", f);
	fprintf(f, "%s, CPUID %s it", r->verdict, r->shown ? "shows" : "hides");
	for (int cpl = 3; cpl >= 0; cpl -= 3)
		if (*r->outcome[cpl == 3]) {
			fprintf(f, "; CPL %d: ", cpl);
			escape(f, r->outcome[cpl == 3]);
		}
	if (*r->why) {
		fputs("; ", f);
		escape(f, r->why);
	}
	fputc('"', f);
}

/* Predictions don't know: one measurement that says so is enough. */
static bool unproven(const struct page *p, const struct mv_probe_row *id)
{
	for (size_t i = 0; i < p->n; i++) {
		const struct mv_probe_row *r = mv_probe_find(p->r[i], id->feature, id->instruction);

		if (r && r->unproven)
			return true;
	}
	return false;
}

static void row(const struct page *p, const struct mv_probe_row *id)
{
	const struct mv_probe_row *r;

	fputs("<tr class=\"row\" data-v=\"", p->f);
	for (size_t i = 0; i < p->n; i++) {
		r = mv_probe_find(p->r[i], id->feature, id->instruction);
		fprintf(p->f, "%s%s", i ? " " : "", r ? r->verdict : "-");
	}
	fputs("\"><th class=\"name\">", p->f);
	escape(p->f, id->feature);
	fputs(unproven(p, id) ? " *" : "", p->f);
	fputs("</th><td class=\"bit\">", p->f);
	escape(p->f, id->cpuid);
	fputs("</td><td class=\"insn\">", p->f);
	escape(p->f, id->instruction);
	fputs("</td>", p->f);
	for (size_t i = 0; i < p->n; i++) {
		r = mv_probe_find(p->r[i], id->feature, id->instruction);
		fprintf(p->f, "<td class=\"v %s\"", r ? r->verdict : "");
		if (r)
			tip(p->f, r);
		fprintf(p->f, ">%s</td>", r ? brief(r->verdict) : "");
	}
	fputs("</tr>\n", p->f);
}

/* Is this the first column that has the row? */
static bool first(const struct page *p, size_t column, const struct mv_probe_row *r)
{
	for (size_t i = 0; i < column; i++)
		if (mv_probe_find(p->r[i], r->feature, r->instruction))
			return false;
	return true;
}

static void family(const struct page *p, const char *name)
{
	bool any = false;

	for (size_t i = 0; i < p->n; i++)
		for (unsigned k = 0; k < p->r[i]->n; k++) {
			const struct mv_probe_row *r = &p->r[i]->row[k];

			if (mv_probe_family(r->feature) != name || !first(p, i, r))
				continue;
			if (!any)
				fprintf(p->f, "<tr class=\"family\"><th colspan=\"%zu\">%s</th></tr>\n",
					p->n + 3, name);
			any = true;
			row(p, r);
		}
}

static void body(const struct page *p)
{
	fprintf(p->f, "<main%s>\n<h1>What CPUID says, and what executes</h1>\n",
		p->n >= MANY ? " class=\"many\"" : "");
	runs(p);
	tools(p);
	legend(p);
	fputs("<table class=\"map\"><thead><tr><th>feature</th><th>CPUID</th><th>instruction</th>", p->f);
	for (size_t i = 0; i < p->n; i++) {
		fputs("<th class=\"run\"><span>", p->f);
		escape(p->f, p->names[i]);
		fputs("</span></th>", p->f);
	}
	fputs("</tr></thead><tbody>\n", p->f);
	for (const char *const *f = mv_probe_families; *f; f++)
		family(p, *f);
	fputs("</tbody></table>\n</main>\n", p->f);
}

int mv_probe_html(const char *file, const struct mv_probe_result *const *r,
		  const char *const *names, size_t n, struct mv_err *err)
{
	const struct mv_builtin *t = mv_builtin_find("probe.html");
	const char *page = (const char *)t->data;
	const char *mark = memmem(page, t->size, MARK, strlen(MARK));
	struct page p = { .r = r, .names = names, .n = n };
	char *text = NULL;
	size_t len = 0;
	int rc;

	p.f = mark ? open_memstream(&text, &len) : NULL;
	if (!p.f)
		return mv_err_set(err, MV_E_FAILED, "out of memory");
	fwrite(page, 1, (size_t)(mark - page), p.f);
	body(&p);
	mark += strlen(MARK) + 1;
	fwrite(mark, 1, (size_t)(page + t->size - mark), p.f);
	rc = fclose(p.f) ? mv_err_set(err, MV_E_FAILED, "out of memory")
			 : mv_new_file_write(file, text, len, err);
	free(text);
	return rc;
}
