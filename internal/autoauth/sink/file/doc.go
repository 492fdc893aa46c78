// Package file is the sink that keeps the current token in a file, replaced in one step.
package file
