"""The shapes of `/api`: what the studio's pages send and get. Times are ISO 8601 in UTC; ids are opaque."""
