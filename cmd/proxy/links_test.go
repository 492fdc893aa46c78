package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

var (
	links    = regexp.MustCompile(`\]\(([^)#\s]*)(#[^)\s]*)?\)`)
	headings = regexp.MustCompile(`(?m)^#+ (.*)$`)
	fences   = regexp.MustCompile("(?ms)^```.*?^```$")
)

// anchors are the places of a page that links can name, as GitHub makes them of headings.
func anchors(page string) map[string]bool {
	all := map[string]bool{}
	for _, heading := range headings.FindAllStringSubmatch(fences.ReplaceAllString(page, ""), -1) {
		text := links.ReplaceAllString(heading[1], "]")
		anchor := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
				return unicode.ToLower(r)
			}
			return -1
		}, text)
		all["#"+anchor] = true
	}
	return all
}

// Links between pages lead somewhere: those that people wrote, and those that tables of the program are made with.
func TestLinksOfTheDocsLeadSomewhere(t *testing.T) {
	root := filepath.Join("..", "..")
	pages, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil || len(pages) < 5 {
		t.Fatal(pages, err)
	}
	own, err := filepath.Glob(filepath.Join(root, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	read := func(path string) string {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
		}
		return strings.ReplaceAll(string(text), "\r\n", "\n")
	}
	checked := 0
	for _, page := range append(pages, own...) {
		for _, link := range links.FindAllStringSubmatch(fences.ReplaceAllString(read(page), ""), -1) {
			if strings.Contains(link[1], ":") { // elsewhere
				continue
			}
			target := page
			if link[1] != "" {
				target = filepath.Join(filepath.Dir(page), filepath.FromSlash(link[1]))
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: there is no %s", page, link[1])
			} else if link[2] != "" && !anchors(read(target))[link[2]] {
				t.Errorf("%s: %s has no %s", page, target, link[2])
			}
			checked++
		}
	}
	if checked < 50 {
		t.Errorf("%d links are checked", checked)
	}
}
