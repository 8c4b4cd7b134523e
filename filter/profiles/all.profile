profile all: the whole TPM, with handles of one's own
    sessions may audit
    no lockout budget holds
allow 0x11F to 0x1FF: all that is or will be specified
answer TPM2_ContextLoad: what the manager itself has saved for the same user
answer TPM2_ContextSave: so that nobody else can load it
allow 0x20000000 to 0x2000FFFF: what the chip's maker has added
