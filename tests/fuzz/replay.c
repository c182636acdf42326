/* SPDX-License-Identifier: MIT */
/*
 * main() of the fuzz targets in builds without libFuzzer: feeds every file that is named on the
 * command line, or that lies in a folder named there, to the target once. A finding ends the
 * process by signal or sanitizer; success prints how many inputs were fed. One thread.
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Feeds one file from a heap block of exactly its size, so that a sanitizer sees overreads. */
static int replay_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	struct stat st;
	uint8_t *data;
	size_t size;
	int ok = 0;

	if (!file || fstat(fileno(file), &st) < 0) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		if (file)
			fclose(file);
		return -1;
	}
	size = (size_t)st.st_size;
	data = malloc(size ? size : 1);
	if (data && fread(data, 1, size, file) == size) {
		LLVMFuzzerTestOneInput(data, size);
		ok = 1;
	} else {
		fprintf(stderr, "%s: could not be read\n", path);
	}
	free(data);
	fclose(file);
	return ok ? 0 : -1;
}

/* Feeds what lies directly in a folder. Returns the number of inputs or -1. */
static long replay_folder(const char *path, DIR *dir)
{
	struct dirent *entry;
	char name[PATH_MAX];
	long count = 0;

	while ((entry = readdir(dir))) {
		int n;

		if (entry->d_name[0] == '.')
			continue;
		n = snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
		if (n < 0 || (size_t)n >= sizeof(name) || replay_file(name) < 0)
			return -1;
		count++;
	}
	return count;
}

int main(int argc, char **argv)
{
	long count = 0;
	int i;

	for (i = 1; i < argc; i++) {
		DIR *dir = opendir(argv[i]);
		long n;

		if (dir) {
			n = replay_folder(argv[i], dir);
			closedir(dir);
		} else {
			n = replay_file(argv[i]) < 0 ? -1 : 1;
		}
		if (n < 0)
			return 1;
		count += n;
	}
	printf("%ld inputs\n", count);
	return 0;
}
