cache {
