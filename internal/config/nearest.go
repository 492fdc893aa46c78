package config

import "iter"

// longestGuess is the length in bytes up to which a misspelt name gets a suggestion; all names of the language are shorter.
const longestGuess = 64

// nearest returns the name that is the fewest edits away from what was written, or "" when none is near enough to be meant.
// Of equally near names the alphabetically first wins.
func nearest(written string, names iter.Seq[string]) string {
	if len(written) > longestGuess {
		return ""
	}
	best, bestDistance := "", max(2, len(written)/2)+1
	for name := range names {
		if abs(len(name)-len(written)) > bestDistance {
			continue
		}
		if d := distance(written, name); d < bestDistance || d == bestDistance && best != "" && name < best {
			best, bestDistance = name, d
		}
	}
	return best
}

// distance counts the insertions, deletions and substitutions of bytes between a and b (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substituted := diagonal
			if a[i] != b[j] {
				substituted++
			}
			diagonal = row[j+1]
			row[j+1] = min(row[j]+1, diagonal+1, substituted)
		}
	}
	return row[len(b)]
}

func abs(n int) int { return max(n, -n) }
