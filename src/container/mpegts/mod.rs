//! MPEG-TS in: packets to media events (ISO/IEC 13818-1).
