// Package static uses one token given at start, as an orchestrator injects it.
package static
