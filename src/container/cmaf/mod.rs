//! CMAF: init segments, fragments, segment objects, and fragmented MP4 from elsewhere.
