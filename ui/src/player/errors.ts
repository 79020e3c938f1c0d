// What went wrong while playing, in a sentence. In: hls.js's kind of error. Pure.

export function sentenceOf(type: string, details: string, httpStatus: number | null): string {
  if (type === "networkError") {
    if (httpStatus === 401 || httpStatus === 403) return "The server does not allow playing this stream.";
    if (httpStatus === 404) return "The server has nothing to play here: this part may have been deleted by retention.";
    if (httpStatus !== null && httpStatus >= 500) return "The server cannot read the archive just now. Trying again…";
    if (httpStatus !== null && httpStatus >= 400) return `The server refused this request (${httpStatus}).`;
    return "The server does not answer. Playing goes on as soon as it does.";
  }
  if (details === "manifestIncompatibleCodecsError" || details === "bufferAddCodecError" || details === "bufferIncompatibleCodecsError") {
    return "This browser cannot play the codecs of this recording. Export it, or open a player link.";
  }
  if (type === "mediaError") return "The picture cannot be decoded here. Choose another moment, or export this part.";
  if (type === "muxError") return "A piece of the recording cannot be read. Choose another moment.";
  return "Playing failed. Choose the moment again.";
}
